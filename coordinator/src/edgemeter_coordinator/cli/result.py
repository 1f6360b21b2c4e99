"""`edgemeter result`: what came out, in full and as files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import AsJson, example, note, print_json
from edgemeter_coordinator.sdk import atomic_file

if TYPE_CHECKING:
    from edgemeter_protos.v1 import lab_pb2

app = noun("Results, in full and as files.")

Reference = Annotated[str, typer.Argument(metavar="STUDY", help="Id, name, or the start of an id.")]


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


@app.command(epilog=example("edgemeter result export digits-1 --format csv -o digits.csv"))
@with_coordinator
def export(
    where: Where,
    study: Reference,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="One object, or one line, a variant and device; json where left out."),
    ] = None,
    as_json: AsJson = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Written whole or not at all; else stdout."),
    ] = None,
    raw: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also write each result's timed samples, outputs and power readings there, as .npz files.",
        ),
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(
            "--mlflow",
            metavar="URI",
            help="Log each result as a run to this MLflow tracking server (http://HOST:PORT), in an "
            "experiment of the study's name; what is there already is left as it is.",
        ),
    ] = None,
    include_late: Annotated[
        bool, typer.Option("--include-late", help="Also what attempts reported that had lost their job.")
    ] = False,
) -> None:
    """Exports a study's results: the keys are those of docs/results.md."""
    if as_json and form not in (None, Format.JSON):
        raise typer.BadParameter(f"--json and --format {form.value} exclude each other")
    if form is Format.PARQUET and output is None:
        raise typer.BadParameter("--format parquet is no text: name a file with -o")

    from edgemeter_coordinator.report import export as exports

    with where.connect() as lab:
        found = lab.study(study)
        responses = found.responses(include_late=include_late)
        files = found.download_raw(raw, include_late=include_late) if raw is not None else []
    if raw is not None:
        note(f"{len(files)} files in {raw}")
    if mlflow is not None:
        _log(mlflow, found.name, responses)
    if output is None and form is None and not as_json and mlflow is not None:
        return
    rows = exports.exported(responses)
    if form is Format.PARQUET and output is not None:
        atomic_file.write_chunks(output, [_parquet(rows)])
    elif output is not None:
        atomic_file.write_text(output, _text(rows, form))
    else:
        typer.echo(_text(rows, form), nl=False)
        return
    note(f"{len(rows)} results in {output}")


def _text(rows: list[dict[str, Any]], form: Format | None) -> str:
    from edgemeter_coordinator.report import export as exports

    return exports.as_csv(rows) if form is Format.CSV else exports.as_json(rows)


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    from edgemeter_coordinator.report import parquet
    from edgemeter_coordinator.sdk.errors import EdgemeterError

    try:
        return parquet.as_parquet(rows)
    except parquet.NoPyarrow as error:
        raise EdgemeterError(str(error)) from None


def _log(uri: str, study: str, responses: list[lab_pb2.ListResultsResponse]) -> None:
    from edgemeter_coordinator.report.runs import runs_of
    from edgemeter_coordinator.sdk import mlflow

    logged = mlflow.log(uri, study, runs_of(responses))
    known = f", {logged.known} known" if logged.known else ""
    note(f"{logged.new} runs logged in the experiment {logged.experiment}{known}")
    if logged.without_artifacts:
        note(f"without their files: {logged.without_artifacts}")


@app.command(epilog=example("edgemeter result show digits-1 int8"))
@with_coordinator
def show(
    where: Where,
    study: Reference,
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="The variant: its recipe, with or without @FORMAT, or its id."),
    ],
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="On this board only; on all that measured it where left out."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Shows all that is known of a variant: percentiles, energy, memory, operators, a sustained load."""
    from edgemeter_coordinator.report import export as exports
    from edgemeter_coordinator.sdk.choosing import chosen
    from edgemeter_protos.report.detail import sections

    with where.connect() as lab:
        responses = chosen(lab.study(study).responses(), recipe, device)
    results = exports.exported(responses)
    if as_json:
        print_json(results)
        return
    for one in results:
        typer.echo(f"{one['recipe']} on {one['device']['name']}, study {one['study']}")
        for section in sections(one):
            typer.echo(f"\n{section.title}")
            for text in section.lines:
                typer.echo(f"  {text}")
