"""`edgemeter study bundle` and `edgemeter study replay`: a study in one file, and the study again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.output import AsJson, example, note, print_error, print_json, print_table
from edgemeter_coordinator.cli.study import failures
from edgemeter_coordinator.cli.study_bars import StudyBars

if TYPE_CHECKING:
    from edgemeter_coordinator.bundle.agreement import Compared
    from edgemeter_coordinator.bundle.numbers import Number
    from edgemeter_coordinator.sdk.bundling import Replayed

BUNDLE_EXAMPLE = example("edgemeter study bundle compression -o compression.zip --with-files")
REPLAY_EXAMPLE = example("edgemeter study replay compression.zip --device board=pi5")


@with_coordinator
def bundle(
    where: Where,
    study: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY…", help="Id, name, or the start of an id; a study file's name for all its parts."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.zip", help="Where to write it.")],
    with_files: Annotated[
        bool,
        typer.Option(
            "--with-files", help="Models and data too; else their digests, and where they come from."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Puts all that it takes to repeat a study into one file."""
    from edgemeter_coordinator.cli import cells
    from edgemeter_coordinator.sdk import bundling

    with where.connect() as lab:
        made = bundling.bundle(lab, study, output, with_files=with_files)
    size_bytes = output.stat().st_size
    if as_json:
        names = [each.study.name for each in made.studies]
        print_json(
            {"file": str(output), "size_bytes": size_bytes, "studies": names, "files": sorted(made.files)}
        )
        return
    print_table(
        ("study", "model", "data", "recipes", "boards", "numbers"),
        [
            (
                each.study.name,
                each.model.name,
                each.data.name,
                str(len(each.study.variants)),
                ", ".join(board.name for board in each.boards.values()),
                str(sum(len(one.numbers) for one in each.measured)),
            )
            for each in made.studies
        ],
        empty="no studies",
    )
    files = f", {len(made.files)} files in it" if made.files else ", without models and data"
    note(f"{output}: {cells.size(size_bytes)}{files}")


@with_coordinator
def replay(
    where: Where,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.zip", help="A bundle that `edgemeter study bundle` made.")
    ],
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            metavar="LABEL=VALUE|NAME|all",
            help="May be repeated: any one match is enough. All where left out.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Repeats a bundle's studies, and says of each number whether the same came out.

    Two numbers agree where their 95 % intervals meet. Exits with 1 where a number differs or is missing, or
    nothing could be compared.
    """
    from edgemeter_coordinator.sdk import bundling

    with where.connect() as lab, StudyBars(file.name) as bars:
        replayed = bundling.replay(lab, file, devices=device or ["all"], watcher=bars)
    if as_json:
        print_json(
            {
                "repeats": all(each.repeats for each in replayed),
                "studies": [_record(each) for each in replayed],
            }
        )
    else:
        _print(replayed)
    for each in replayed:
        _explain(each)
    if not all(each.repeats for each in replayed):
        raise typer.Exit(1)


def _print(replayed: list[Replayed]) -> None:
    print_table(
        ("study", "variant", "device", "number", "then", "now", "says"),
        [
            (
                each.name,
                one.recipe,
                one.device,
                one.name,
                _told(one.then),
                _told(one.now) if one.now else "-",
                one.says.value + (f": {one.why}" if one.why else ""),
            )
            for each in replayed
            for one in each.numbers
        ],
        empty="no numbers to compare",
    )


def _explain(each: Replayed) -> None:
    """What became of a study, on stderr."""
    if each.study is None:
        print_error(f"{each.name}: {each.problem}")
        return
    said = Counter(one.says.value for one in each.numbers)
    counts = ", ".join(f"{count} {says}" for says, count in said.items())
    note(f"{each.name}, repeated as {each.study.name}: {counts or 'nothing to compare'}")
    for line in each.changed_tools:
        note(f"  converted with {line}")
    if each.study.state != "completed":
        for line in failures(each.study.last):
            note(f"  {line}")


def _told(number: Number) -> str:
    """ "1.234e+06 (1.2e+06 to 1.3e+06)"."""
    value = f"{number.value:.6g}"
    if number.low is None or number.high is None:
        return value
    return f"{value} ({number.low:.4g} to {number.high:.4g})"


def _record(each: Replayed) -> dict[str, Any]:
    return {
        "study": each.name,
        "repeated_as": each.study.name if each.study else None,
        "state": each.study.state if each.study else "not_made",
        "problem": each.problem or None,
        "repeats": each.repeats,
        "changed_tools": list(each.changed_tools),
        "numbers": [_number_record(one) for one in each.numbers],
    }


def _number_record(one: Compared) -> dict[str, Any]:
    return {
        "recipe": one.recipe,
        "device": one.device,
        "number": one.name,
        "then": _value_record(one.then),
        "now": _value_record(one.now) if one.now else None,
        "says": one.says.value.replace(" ", "_"),
        "why": one.why or None,
    }


def _value_record(number: Number) -> dict[str, Any]:
    ci95 = None if number.low is None or number.high is None else [number.low, number.high]
    return {"value": number.value, "ci95": ci95, "n": number.samples or None}
