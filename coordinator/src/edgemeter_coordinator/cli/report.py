"""`edgemeter report`: what to ship, and why, as one file that people can show each other."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.output import AsJson, example, note, print_json
from edgemeter_coordinator.sdk import atomic_file

if TYPE_CHECKING:
    from edgemeter_coordinator.report.page.page import Page

EXAMPLE = example("edgemeter report digits-1 -o report.html")


class Format(StrEnum):
    HTML = "html"
    MD = "md"


@with_coordinator
def report(
    where: Where,
    studies: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY…",
            help="Ids, names, or their beginnings; the name of a study file stands for all of its parts.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Written whole or not at all; else report.html here, Markdown on stdout.",
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="A page that needs nothing beside itself, or Markdown; by FILE's ending, else html.",
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Of the report; else the names that were given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Writes a report of studies: what to ship, tables, plots, conditions, and how to repeat it.

    With --json the recommendations are printed, and the report is written only where -o names a file.
    """
    from edgemeter_coordinator.cli import cells
    from edgemeter_coordinator.report.page import page as pages
    from edgemeter_coordinator.sdk.reporting import report as report_of

    form = form or (Format.MD if output is not None and output.suffix.lower() == ".md" else Format.HTML)
    with where.connect() as lab:
        page = report_of(lab, studies, title=title, say=note)
    if output is None and form is Format.HTML and not as_json:
        output = Path("report.html")
    if output is not None:
        text = _text(page, form)
        atomic_file.write_text(output, text)
        many = len(page.studies)
        note(f"{many} {'study' if many == 1 else 'studies'} in {output} ({cells.size(len(text.encode()))})")
    if as_json:
        print_json(pages.answers(page))
    elif output is None:
        typer.echo(_text(page, form), nl=False)


def _text(page: Page, form: Format) -> str:
    from edgemeter_coordinator.report.page import html, markdown

    return markdown.render(page) if form is Format.MD else html.render(page)
