"""A group of commands under one noun."""

from __future__ import annotations

import typer


def noun(summary: str) -> typer.Typer:
    """An application for `edgemeter NOUN VERB`; the bare noun prints its help."""
    app = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")

    @app.callback(help=summary)
    def bare(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())
            raise typer.Exit(2)

    return app
