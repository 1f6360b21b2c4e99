"""`edgemeter device`: the boards that have joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import AsJson, example, print_json, print_table

if TYPE_CHECKING:
    from edgemeter_protos.v1 import device_pb2, lab_pb2

app = noun("The boards that have joined.")


@app.command(epilog=example("edgemeter device ls rack=a"))
@with_coordinator
def ls(
    where: Where,
    selectors: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LABEL=VALUE|NAME]...", help="Only those that match any of these.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Lists the boards, what they are and whether they are attached now."""
    from edgemeter_coordinator.cli import cells, records

    with where.connect() as lab:
        joined = lab.devices(selectors or ())
    if as_json:
        print_json([records.device(device) for device in joined])
        return
    print_table(
        ("name", "id", "state", "labels", "board", "arch", "runtimes", "meters", "last seen"),
        [
            (
                device.name,
                cells.digest(device.id),
                _state(attached=device.attached, job_id=device.job_id),
                cells.labels(device.labels),
                device.facts.board + (" (emulated)" if device.facts.emulated else ""),
                device.facts.arch,
                ", ".join(f"{runtime.name} {runtime.version}" for runtime in device.facts.runtimes)
                or cells.NONE,
                ", ".join(_meters(device)) or cells.NONE,
                "now" if device.attached else cells.ago(device.last_seen_unix_ms),
            )
            for device in joined
        ],
        empty="no board has joined yet: `edgemeter token new` prints the line to paste on one",
    )


@app.command(epilog=example("edgemeter device show pi-a"))
@with_coordinator
def show(
    where: Where,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="The board's name or id.")],
    as_json: AsJson = False,
) -> None:
    """Shows a board: what it is, what runs on it and on what, what it can measure and with which meters."""
    from edgemeter_coordinator.cli import meter, records

    with where.connect() as lab:
        found = lab.device(device)
    if as_json:
        print_json(records.device(found))
        return
    for label, text in described(found):
        typer.echo(f"{label:14}{text}")
    print_table(
        ("runtime", "version", "accelerators"),
        [_runtime(runtime) for runtime in found.facts.runtimes],
        empty="no runtime is installed there: nothing can be measured",
    )
    print_table(
        ("meter", "covers", "kind", "readings/s", "resolution", "gain known to", "calibrated", ""),
        [row[1:] for row in meter.rows(found)],
        empty=f"no meter: energy is not measured there (`edgemeter meter attach {found.name}` gives it one)",
    )
    print_table(
        ("observable", "there", ""),
        [(each.name, "yes" if each.available else "no", each.detail) for each in found.facts.observables],
        empty="the agent does not say what it can observe",
    )


def described(device: lab_pb2.Device) -> list[tuple[str, str]]:
    """What a board is, a line each. Pure."""
    from edgemeter_coordinator.cli import cells

    facts = device.facts
    seen = "attached" if device.attached else f"last seen {cells.ago(device.last_seen_unix_ms)}"
    state = _state(attached=device.attached, job_id=device.job_id)
    return [
        ("name", f"{device.name}  (id {device.id})"),
        ("state", f"{state}, {seen}" + (f", job {device.job_id}" if device.job_id else "")),
        ("labels", cells.labels(device.labels)),
        ("board", facts.board + (" (emulated: its timings mean nothing)" if facts.emulated else "")),
        ("SoC", facts.soc or cells.NONE),
        ("system", ", ".join(filter(None, (facts.os, facts.kernel, facts.arch, facts.libc)))),
        ("processors", str(facts.cpu_count or cells.NONE)),
        ("memory", cells.size(facts.memory_bytes) if facts.memory_bytes else cells.NONE),
        ("agent", f"{facts.agent_version} on Python {facts.python_version}"),
    ]


def _runtime(runtime: device_pb2.RuntimeFacts) -> tuple[str, str, str]:
    return runtime.name, runtime.version, ", ".join(runtime.accelerators) or "the agent does not say"


def _meters(device: lab_pb2.Device) -> list[str]:
    return [*(meter.name for meter in device.facts.meters), *(each.spec for each in device.meters)]


def _state(*, attached: bool, job_id: str) -> str:
    if not attached:
        return "away"
    return "measuring" if job_id else "free"
