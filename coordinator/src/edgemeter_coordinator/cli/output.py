"""How commands print: tables and JSON on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from edgemeter_protos.v1 import lab_pb2

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]


def example(*lines: str) -> str:
    """The end of a help text."""
    return "Example: " + "\n\n".join(f"`{line}`" for line in lines)


def print_json(value: Any) -> None:
    """`value` as JSON on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def note(line: str) -> None:
    """A line for people, on stderr."""
    typer.echo(line, err=True)


def print_error(message: str) -> None:
    """The one line of a failed command: red where stderr is a terminal."""
    typer.secho(f"error: {' '.join(message.split())}", fg=typer.colors.RED, err=True)


def error_console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def _console() -> Console:
    from rich.console import Console

    from edgemeter_coordinator.report.table import WIDE

    return Console(width=None if sys.stdout.isatty() else WIDE)


def print_rich(renderable: RenderableType) -> None:
    """A rich table, or the like, on stdout; never cut where the terminal is narrower."""
    _console().print(renderable, crop=False)


def print_comparison(responses: Iterable[lab_pb2.ListResultsResponse], *, title: str) -> bool:
    """The table of results, as wide as the terminal; False where there are none."""
    from edgemeter_coordinator.report import table

    rows = table.rows(responses)
    if rows:
        print_rich(table.render(rows, title=title, width=_console().width))
    return bool(rows)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """A table of texts on stdout; where there are no rows, the line `empty` on stderr."""
    if not rows:
        note(empty)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    print_rich(table)
