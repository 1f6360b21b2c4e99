"""`edgemeter recipe`: the ways to compress that the coordinator offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from edgemeter_coordinator.cli.completion import complete_step
from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import AsJson, example, print_json, print_table

if TYPE_CHECKING:
    from edgemeter_protos.v1 import lab_pb2

app = noun("The ways to compress a model.")


@app.command(epilog=example("edgemeter recipe ls"))
@with_coordinator
def ls(where: Where, as_json: AsJson = False) -> None:
    """Lists the recipes: the formats that they can be written in, and what they need."""
    from edgemeter_coordinator.cli import records

    with where.connect() as lab:
        known = lab.recipes()
    if as_json:
        print_json([records.recipe(recipe) for recipe in known])
        return
    print_table(
        ("recipe", "what it does", "arguments", "needs", "formats"),
        [
            (
                recipe.text,
                recipe.summary,
                ", ".join(each.name for each in recipe.parameters),
                _needs(recipe),
                ", ".join(recipe.formats),
            )
            for recipe in known
        ],
        empty="this coordinator offers no recipes",
    )


@app.command(epilog=example("edgemeter recipe show prune"))
@with_coordinator
def show(
    where: Where,
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A step's name, as in recipes.", autocompletion=complete_step),
    ],
    as_json: AsJson = False,
) -> None:
    """Shows one recipe: its arguments with what they are where left out, and an example."""
    from edgemeter_coordinator.cli import cells, records

    with where.connect() as lab:
        known = {recipe.text.partition("(")[0]: recipe for recipe in lab.recipes()}
    recipe = known.get(name.partition("(")[0].strip().lower())
    if recipe is None:
        _unknown(name, list(known))
    if as_json:
        print_json(records.recipe(recipe))
        return
    typer.echo(f"{recipe.text}: {recipe.summary}")
    typer.echo(f"needs: {_needs(recipe)}")
    typer.echo(f"formats: {', '.join(recipe.formats)}")
    typer.echo(f"runs on, in its natural format: {', '.join(map(cells.requirement, recipe.runtimes))}")
    if recipe.parameters:
        print_table(
            ("argument", "where left out", "what it says"),
            [(each.name, each.usual or cells.NONE, each.help) for each in recipe.parameters],
            empty="",
        )
    typer.echo(f"example: edgemeter bench MODEL --data DATA --recipe float32 --recipe '{recipe.text}'")


def _needs(recipe: lab_pb2.Recipe) -> str:
    needs = [
        name
        for name, needed in (
            ("training samples", recipe.needs_training),
            ("calibration samples", recipe.needs_calibration),
        )
        if needed
    ]
    return ", ".join(needs) or "nothing"


def _unknown(name: str, known: list[str]) -> NoReturn:
    import difflib

    from edgemeter_coordinator.sdk.errors import EdgemeterError

    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise EdgemeterError(f"there is no recipe {name!r}: {hint}`edgemeter recipe ls` lists what there is")
