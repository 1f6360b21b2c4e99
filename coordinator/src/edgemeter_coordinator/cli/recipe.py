"""`edgemeter recipe`: the ways to compress that the coordinator offers."""

from __future__ import annotations

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import AsJson, example, print_json, print_table

app = noun("The ways to compress a model.")


@app.command(epilog=example("edgemeter recipe ls"))
@with_coordinator
def ls(where: Where, as_json: AsJson = False) -> None:
    """Lists the recipes and the runtimes that may run what they make."""
    from edgemeter_coordinator.cli import records

    with where.connect() as lab:
        known = lab.recipes()
    if as_json:
        print_json([records.recipe(recipe) for recipe in known])
        return
    print_table(
        ("recipe", "what it does", "calibration", "runtimes"),
        [
            (
                recipe.text,
                recipe.summary,
                "needed" if recipe.needs_calibration else "no",
                ", ".join(
                    _requirement(need.runtime, need.min_version, need.below_version)
                    for need in recipe.runtimes
                ),
            )
            for recipe in known
        ],
        empty="this coordinator offers no recipes",
    )


def _requirement(runtime: str, min_version: str, below_version: str) -> str:
    """ "litert >=1.0 <2.0"."""
    bounds = ((">=", min_version), ("<", below_version))
    return " ".join((runtime, *(f"{sign}{version}" for sign, version in bounds if version)))
