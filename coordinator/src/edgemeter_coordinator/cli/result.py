"""`edgemeter result`: what came out, in full and as files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import AsJson, example, note, print_json
from edgemeter_coordinator.sdk import atomic_file

app = noun("Results, in full and as files.")

Reference = Annotated[str, typer.Argument(metavar="STUDY", help="Id, name, or the start of an id.")]


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"


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
    include_late: Annotated[
        bool, typer.Option("--include-late", help="Also what attempts reported that had lost their job.")
    ] = False,
) -> None:
    """Exports a study's results: the keys are those of docs/results.md."""
    if as_json and form is Format.CSV:
        raise typer.BadParameter("--json and --format csv exclude each other")

    from edgemeter_coordinator.report import export as exports

    with where.connect() as lab:
        found = lab.study(study)
        rows = found.results(include_late=include_late)
        files = found.download_raw(raw, include_late=include_late) if raw is not None else []
    if raw is not None:
        note(f"{len(files)} files in {raw}")
    text = exports.as_csv(rows) if form is Format.CSV else exports.as_json(rows)
    if output is None:
        typer.echo(text, nl=False)
        return
    atomic_file.write_text(output, text)
    note(f"{len(rows)} results in {output}")


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
