"""The command `edgemeter`: its nouns, and what a failed command looks like."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edgemeter_coordinator.cli import (
    bench,
    bundle,
    data,
    demo,
    device,
    fetch,
    login,
    meter,
    model,
    recipe,
    report,
    result,
    serve,
    study,
    study_run,
    task,
    token,
    variant,
)
from edgemeter_coordinator.cli.output import example, print_error
from edgemeter_coordinator.sdk.errors import EdgemeterError

# A traceback is for our own mistakes only, and then it is best plain.
app = typer.Typer(name="edgemeter", rich_markup_mode="markdown", pretty_exceptions_enable=False)

app.add_typer(token.app, name="token")
app.add_typer(device.app, name="device")
app.add_typer(meter.app, name="meter")
app.add_typer(model.app, name="model")
app.add_typer(data.app, name="data")
app.add_typer(recipe.app, name="recipe")
app.add_typer(task.app, name="task")
app.add_typer(variant.app, name="variant")
study.app.command(epilog=study_run.EXAMPLE)(study_run.run)
study.app.command(epilog=bundle.BUNDLE_EXAMPLE)(bundle.bundle)
study.app.command(epilog=bundle.REPLAY_EXAMPLE)(bundle.replay)
app.add_typer(study.app, name="study")
app.add_typer(result.app, name="result")
app.command(epilog=serve.EXAMPLE)(serve.serve)
app.command(epilog=login.EXAMPLE)(login.login)
app.command(epilog=bench.EXAMPLE)(bench.bench)
app.command(epilog=report.EXAMPLE)(report.report)
app.command(epilog=fetch.EXAMPLE)(fetch.fetch)
app.command(epilog=demo.EXAMPLE)(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"edgemeter {metadata.version('edgemeter-coordinator')}")
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    epilog=example("edgemeter bench model.keras --data digits.npz --recipe float32 --recipe int8"),
)
def root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Which compressed form of my model should I ship to this board, and can I believe the numbers?"""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def usage_message(error: typer.TyperException) -> str:
    """The one line for a wrong command line, with where its help is."""
    context = getattr(error, "ctx", None)
    hint = f" (`{context.command_path} --help` shows an example)" if context is not None else ""
    return error.format_message().rstrip(".") + hint


def main() -> None:
    """Runs the command line. Exits with 1 for an error, 2 for a wrong usage, 130 for Ctrl-C."""
    try:
        code = app(standalone_mode=False)
    except EdgemeterError as error:
        print_error(str(error))
        code = 1
    except typer.TyperException as error:
        print_error(usage_message(error))
        code = error.exit_code
    except UnicodeEncodeError as error:
        # Arguments are bytes, and need be no text.
        print_error(f"{error.object[:80]!a} can't be written as {error.encoding} text")
        code = 1
    except typer.Abort:
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
