"""`edgemeter meter`: what boards read their power from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import AsJson, example, note, print_json, print_table

if TYPE_CHECKING:
    from edgemeter_protos.v1 import device_pb2, lab_pb2

app = noun("Meters: what boards read their power from.")

Device = Annotated[str, typer.Argument(metavar="DEVICE", help="The board's name or id.")]
Spec = Annotated[
    str,
    typer.Argument(
        metavar="METER",
        help="remote:HOST:PORT, joulescope:SERIAL, ina226:BUS:ADDRESS (or ina228, ina260), shelly:HOST, "
        "tasmota:HOST, scpi:RESOURCE, exec:PROGRAM.",
    ),
]


@app.command(epilog=example("edgemeter meter attach pi-a remote:192.168.1.20:7450"))
@with_coordinator
def attach(where: Where, device: Device, spec: Spec, as_json: AsJson = False) -> None:
    """Gives a board a meter that it does not find by itself; it reads it from its next job on.

    A meter at another machine is served there by `edgemeter-agent meter serve METER --listen HOST:PORT`, and
    attached as remote:HOST:PORT. An exec: meter is a program that runs on the board: the board refuses it
    unless its operator started the agent with `--allow-exec-meters`.
    """
    with where.connect() as lab:
        board = lab.attach_meter(device, spec)
    _done(board, as_json=as_json, said=f"{board.name} reads {spec} from its next job on")


@app.command(epilog=example("edgemeter meter detach pi-a remote:192.168.1.20:7450"))
@with_coordinator
def detach(where: Where, device: Device, spec: Spec, as_json: AsJson = False) -> None:
    """Takes a meter that was attached away from a board; what it measured stays."""
    with where.connect() as lab:
        board = lab.detach_meter(device, spec)
    _done(board, as_json=as_json, said=f"{board.name} reads {spec} no more")


@app.command(epilog=example("edgemeter meter ls pi-a"))
@with_coordinator
def ls(
    where: Where,
    selectors: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LABEL=VALUE|NAME]...",
            help="Of the boards that match any of these only.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Lists the meters: those that boards found themselves, and those that were attached."""
    from edgemeter_coordinator.cli import records

    with where.connect() as lab:
        boards = lab.devices(selectors or ())
    if as_json:
        print_json([each for board in boards for each in records.meters(board)])
        return
    print_table(
        ("device", "meter", "covers", "kind", "readings/s", "resolution", "gain known to", "calibrated", ""),
        [row for board in boards for row in rows(board)],
        empty="no board has a meter: `edgemeter meter attach --help` says how to give it one",
    )


def rows(board: lab_pb2.Device) -> list[tuple[str, ...]]:
    """A board's meters as cells: its own, then what was attached. Pure."""
    from edgemeter_coordinator.cli import cells

    attached = [
        (
            board.name,
            each.spec,
            *[cells.NONE] * 6,
            f"attached {cells.ago(each.attached_at_unix_ms)} by {each.attached_by}",
        )
        for each in board.meters
    ]
    return [_own(board.name, meter) for meter in board.facts.meters] + attached


def _own(device: str, meter: device_pb2.MeterFacts) -> tuple[str, ...]:
    from edgemeter_coordinator.cli import cells
    from edgemeter_protos.report import detail_power, onboard, units

    facts = onboard.meter(meter)
    calibrated = (
        detail_power.calibration(facts["calibrated_gain"], facts["calibrated_offset_mw"])
        if detail_power.is_calibrated(facts)
        else "no"
    )
    return (
        device,
        meter.name,
        meter.coverage,
        meter.kind or cells.NONE,
        units.human_rate(meter.rate_hz or None, cells.NONE),
        units.human_mw(meter.resolution_mw or None, cells.NONE),
        units.percent(meter.gain_error or None, cells.NONE),
        calibrated,
        meter.detail,
    )


def _done(board: lab_pb2.Device, *, as_json: bool, said: str) -> None:
    from edgemeter_coordinator.cli import records

    if as_json:
        print_json(records.device(board))
    else:
        note(said)
