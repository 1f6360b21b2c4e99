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


@app.command(
    epilog=example("edgemeter model add model.onnx --preprocess scale=1/255,mean=0.5,std=0.5,layout=nchw")
)
@with_coordinator
def add(
    where: Where,
    source: Annotated[
        str,
        typer.Argument(
            metavar="PATH|FUNCTION",
            help="A .keras, .h5, .pt2, .pt, .onnx, .tflite or .gguf file, a SavedModel's or Hugging Face "
            "folder or its .zip, or package.module:function, which the coordinator then calls.",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="A name for it; the file's stem where left out.")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="TYPE[SHAPE]",
            help="One sample of an input, as in float32[3,32,32], for files that don't tell; one for each.",
        ),
    ] = None,
    preprocess: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTINGS",
            help="How an input is made from the data: scale=1/255,mean=0.5,std=0.5,layout=nchw or some of "
            "these; one for each input. Mean and std may have a number a channel: mean=0.4;0.5;0.6.",
        ),
    ] = None,
    task: Annotated[
        str,
        typer.Option(
            metavar="TASK",
            help="What it is for: classification, detection(centernet), … (`edgemeter task ls`); the first "
            "that fits its outputs where left out.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Uploads a model and has it checked. Nothing in a file is executed, and nothing is sent twice."""
    from edgemeter_coordinator.cli import records

    with where.connect() as lab, Bars() as bars:
        added = lab.add_model(
            source,
            name,
            inputs=inputs or (),
            preprocess=preprocess or (),
            task=task,
            progress=lambda done, total: bars.show([upload_step(Path(source), done, total)]),
        )
    if as_json:
        print_json({**records.model(added.model), "known": added.known})
        return
    note(f"{added.model.name}: known before" if added.known else f"{added.model.name}: added")
    _print([added.model])


@app.command(epilog=example("edgemeter model show digits"))
@with_coordinator
def show(
    where: Where,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name, digest, or the start of a digest.")],
    as_json: AsJson = False,
) -> None:
    """Shows a model: its signature, its layers, and which recipes suit it, with why others don't."""
    from edgemeter_coordinator.cli import records

    with where.connect() as lab:
        found = lab.model(model)
    if as_json:
        recipes = [records.applicability(each) for each in found.recipes]
        print_json({**records.model(found.model), "recipes": recipes})
        return
    _print_all(found)


def _print_all(found: lab_pb2.GetModelResponse) -> None:
    from edgemeter_coordinator.cli import cells
    from edgemeter_protos import preprocessing

    model = found.model
    typer.echo(f"{model.name}  {model.framework}  {cells.size(model.size_bytes)}  {model.digest}")
    typer.echo(f"task: {model.task or 'none that can be scored'}")
    typer.echo(f"parameters: {model.parameters:,}; multiply-accumulates a sample: {cells.count(model.macs)}")
    for kind, specs in (("input", model.signature.inputs), ("output", model.signature.outputs)):
        for spec in specs:
            typer.echo(f"{kind} {spec.name}: {cells.tensors([spec])}")
    for spec, each in zip(model.signature.inputs, model.preprocessing, strict=False):
        typer.echo(f"preprocessing of {spec.name}: {preprocessing.text(each) or 'none'}")
    print_table(
        ("layers", "how many", "parameters"),
        [(each.kind, str(each.count), f"{each.parameters:,}") for each in model.layers],
        empty="its layers are not known",
    )
    print_table(
        ("suits it", "as", ""),
        grouped(each for each in found.recipes if each.applies),
        empty="no recipe suits this model",
    )
    print_table(
        ("does not", "as", "why"),
        grouped(each for each in found.recipes if not each.applies),
        empty="every recipe suits it",
    )


def grouped(answers: Iterable[lab_pb2.Applicability]) -> list[tuple[str, str, str]]:
    """Step, formats and reason: one line for all formats that get the same answer."""
    formats: dict[tuple[str, str], list[str]] = {}
    for each in answers:
        step, _, format_ = each.recipe.partition("@")
        formats.setdefault((step, each.reason), []).append(format_)
    return [(step, ", ".join(filter(None, those)), reason) for (step, reason), those in formats.items()]


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
