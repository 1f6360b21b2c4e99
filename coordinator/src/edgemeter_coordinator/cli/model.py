"""`edgemeter model`: the originals that the coordinator knows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import AsJson, example, note, print_json, print_table
from edgemeter_coordinator.cli.progress import Bars, upload_step

if TYPE_CHECKING:
    from edgemeter_protos.v1 import lab_pb2

app = noun("The models that the coordinator knows.")


@app.command(epilog=example("edgemeter model add model.keras --name digits"))
@with_coordinator
def add(
    where: Where,
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="A saved model; its suffix tells the framework.")
    ],
    name: Annotated[str | None, typer.Option(help="A name for it; the file's stem where left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Uploads a model and has it checked. Nothing in it is executed, and nothing is sent twice."""
    from edgemeter_coordinator.cli import records

    with where.connect() as lab, Bars() as bars:
        added = lab.add_model(
            path, name, progress=lambda done, total: bars.show([upload_step(path, done, total)])
        )
    if as_json:
        print_json({**records.model(added.model), "known": added.known})
        return
    note(f"{added.model.name}: known before" if added.known else f"{added.model.name}: added")
    _print([added.model])


@app.command(epilog=example("edgemeter model ls --json"))
@with_coordinator
def ls(where: Where, as_json: AsJson = False) -> None:
    """Lists the models."""
    from edgemeter_coordinator.cli import records

    with where.connect() as lab:
        models = lab.models()
    if as_json:
        print_json([records.model(model) for model in models])
    else:
        _print(models)


def _print(models: Iterable[lab_pb2.Model]) -> None:
    from edgemeter_coordinator.cli import cells

    print_table(
        ("name", "digest", "framework", "task", "size", "parameters", "inputs", "outputs", "added"),
        [
            (
                model.name,
                cells.digest(model.digest),
                model.framework,
                model.task,
                cells.size(model.size_bytes),
                f"{model.parameters:,}",
                cells.tensors(model.signature.inputs),
                cells.tensors(model.signature.outputs),
                cells.ago(model.added_at_unix_ms),
            )
            for model in models
        ],
        empty="no models yet: `edgemeter model add FILE` brings one",
    )
