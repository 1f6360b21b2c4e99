"""`edgemeter task`: what models are for."""

from __future__ import annotations

from edgemeter_coordinator.cli.noun import noun
from edgemeter_coordinator.cli.output import AsJson, example, print_json, print_table

app = noun("What models are for, and how they are scored.")


@app.command(epilog=example("edgemeter task ls"))
def ls(as_json: AsJson = False) -> None:
    """Lists the tasks that `edgemeter model add --task` takes, with their arguments."""
    from edgemeter_converters.tasks import TASKS

    if as_json:
        print_json(
            [
                {
                    "name": kind.name,
                    "summary": kind.summary,
                    "example": kind.example or kind.name,
                    "guessed": kind.guessed,
                    "parameters": [{"name": each.name, "help": each.help} for each in kind.parameters],
                }
                for kind in TASKS.values()
            ]
        )
        return
    print_table(
        ("task", "how it is scored", "arguments", "chosen by itself", "as in"),
        [
            (
                kind.name,
                kind.summary,
                ", ".join(each.name for each in kind.parameters) or "-",
                "where it fits" if kind.guessed else "no",
                kind.example or kind.name,
            )
            for kind in TASKS.values()
        ],
        empty="there are no tasks",
    )
