"""`edgemeter result`: what came out, as files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import AsJson, example, note
from edgemeter_coordinator.sdk import atomic_file

app = noun("Results, as files.")


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"


@app.command(epilog=example("edgemeter result export digits-1 --format csv -o digits.csv"))
@with_coordinator
def export(
    where: Where,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Id, name, or the start of an id.")],
    form: Annotated[
        Format | None,
        typer.Option("--format", help="One object, or one line, a variant and device; json where left out."),
    ] = None,
    as_json: AsJson = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Written whole or not at all; else stdout."),
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
        rows = lab.study(study).results(include_late=include_late)
    text = exports.as_csv(rows) if form is Format.CSV else exports.as_json(rows)
    if output is None:
        typer.echo(text, nl=False)
        return
    atomic_file.write_text(output, text)
    note(f"{len(rows)} results in {output}")
