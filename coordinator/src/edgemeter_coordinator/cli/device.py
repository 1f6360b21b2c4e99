"""`edgemeter device`: the boards that have joined."""

from __future__ import annotations

from typing import Annotated

import typer

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import AsJson, example, print_json, print_table

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
                ", ".join(meter.name for meter in device.facts.meters) or cells.NONE,
                "now" if device.attached else cells.ago(device.last_seen_unix_ms),
            )
            for device in joined
        ],
        empty="no board has joined yet: `edgemeter token new` prints the line to paste on one",
    )


def _state(*, attached: bool, job_id: str) -> str:
    if not attached:
        return "away"
    return "measuring" if job_id else "free"
