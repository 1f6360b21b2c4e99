"""`edgemeter study run`: a whole study file, and what became of each part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgemeter_coordinator.cli import plan_options
from edgemeter_coordinator.cli.connection import Where, with_coordinator
from edgemeter_coordinator.cli.output import AsJson, example, note, print_error, print_json, print_table
from edgemeter_coordinator.cli.study import failures
from edgemeter_coordinator.cli.study_bars import StudyBars

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.lab import Lab
    from edgemeter_coordinator.sdk.study_watcher import Outcome
    from edgemeter_coordinator.study_file.contents import StudyFile
    from edgemeter_coordinator.study_file.wanted import WantedPart

EXAMPLE = example("edgemeter study run studies/compression.toml --device board=pi5 --quick")


@with_coordinator
def run(
    where: Where,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.toml", help="Models, their recipes, and how they are measured.")
    ],
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            metavar="LABEL=VALUE|NAME|all",
            help="May be repeated: any one match is enough. All where left out.",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the parts and recipes that the file keeps for a quick run.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="PART", help="Only this part; may be repeated.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="What the studies' names begin with; the file's own name where left out."),
    ] = None,
    profile: plan_options.Profile = None,
    numbers: plan_options.Numbers = None,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Don't make parts again that failed earlier.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check the file, say what would be measured and for how long at least."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measures every part of a study file, one study each, and prints what became of them.

    Start it again after it was stopped, however that came: parts that are there are not made again. Exits
    with 1 where a part did not complete. Ctrl-C leaves the part's study running.
    """
    from edgemeter_coordinator.sdk import study_run
    from edgemeter_coordinator.study_file import reading, wanted

    read = reading.read(file)
    overrides = plan_options.parse_numbers(numbers or [])
    parts = wanted.wanted(read, quick=quick, only=only or (), profile=profile, overrides=overrides)
    called = wanted.run_name(read, quick=quick, asked=name)
    with where.connect() as lab:
        if dry_run:
            _print_intended(lab, read, parts, called, device or ["all"], as_json=as_json)
            return
        try:
            with StudyBars(called) as bars:
                outcomes = study_run.run(
                    lab,
                    read,
                    parts,
                    name=called,
                    devices=device or ["all"],
                    keep_failed=keep_failed,
                    watcher=bars,
                )
        except KeyboardInterrupt:
            note("a study that was submitted goes on; the same command goes on with the rest")
            raise
        _print_outcomes(called, outcomes, as_json=as_json)
    if not all(outcome.completed for outcome in outcomes):
        raise typer.Exit(1)


def _print_intended(
    lab: Lab, file: StudyFile, parts: list[WantedPart], name: str, devices: list[str], *, as_json: bool
) -> None:
    """What would be made, from where, and how long a board would be busy with it."""
    from edgemeter_coordinator.report import plan_view
    from edgemeter_coordinator.sdk import study_run
    from edgemeter_coordinator.sdk.parts import newest, parse, runs_of
    from edgemeter_protos.report.units import human_ns

    boards = lab.devices(devices)
    origins = study_run.located(lab, file, parts)
    earlier = {
        found.part: study.state
        for study in newest(runs_of(lab, name))
        if (found := parse(study.name)) is not None
    }
    metered = any(board.facts.meters or board.meters for board in boards)
    least = [plan_view.least(each.plan, len(each.recipes)) for each in parts]
    least_ns = [each.total_ns - (0 if metered else each.energy_ns) for each in least]
    if as_json:
        print_json(
            {
                "file": file.source,
                "name": name,
                "devices": [board.name for board in boards],
                "parts": [
                    {
                        "part": each.part.name,
                        "model": origin.model.text,
                        "model_from": origin.model.kind.value,
                        "data": origin.data.text,
                        "data_from": origin.data.kind.value,
                        "recipes": list(each.recipes),
                        "profile": each.plan.profile,
                        "measuring_min_ns": took_ns,
                        "earlier": earlier.get(each.part.name),
                    }
                    for each, origin, took_ns in zip(parts, origins, least_ns, strict=True)
                ],
            }
        )
        return
    print_table(
        ("part", "model", "from", "recipes", "profile", "measuring takes", "earlier"),
        [
            (
                each.part.name,
                origin.model.text,
                origin.model.kind.value,
                ", ".join(each.recipes),
                each.plan.profile,
                f"at least {human_ns(took_ns)}",
                earlier.get(each.part.name, "-"),
            )
            for each, origin, took_ns in zip(parts, origins, least_ns, strict=True)
        ],
        empty="no parts",
    )
    note(f"on {', '.join(board.name for board in boards)}: at least {human_ns(sum(least_ns))} a board")
    note("a dry run: nothing was fetched, and nothing was created")


def _print_outcomes(name: str, outcomes: list[Outcome], *, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "parts": [_record(outcome) for outcome in outcomes]})
    else:
        print_table(
            ("part", "application", "variants", "fastest within 1 %", "state", "look at"),
            [
                (
                    outcome.part,
                    outcome.application or "-",
                    _variants(outcome),
                    "; ".join(map(_fastest_told, _fastest(outcome))) or "-",
                    outcome.state + (", was there" if outcome.reused else ""),
                    f"edgemeter study show {outcome.study.name}" if outcome.study else "-",
                )
                for outcome in outcomes
            ],
            empty="no parts",
        )
    for outcome in outcomes:
        for recipe, why in outcome.left_out:
            note(f"{outcome.part}: left out {recipe}: {why}")
        if not outcome.completed:
            print_error(f"part {outcome.part} {outcome.state}")
            for line in _problems(outcome):
                note(f"  {line}")


def _variants(outcome: Outcome) -> str:
    if outcome.study is None:
        return "-"
    every = outcome.study.last.variants
    failed = sum(bool(variant.error) for variant in every)
    return f"{len(every)}" + (f", {failed} failed" if failed else "")


def _problems(outcome: Outcome) -> list[str]:
    return [outcome.problem] if outcome.study is None else failures(outcome.study.last)


def _fastest(outcome: Outcome) -> list[dict[str, Any]]:
    """What to ship for the least latency, for each board."""
    from edgemeter_coordinator.report.page import advice, facts

    if outcome.study is None:
        return []
    found = []
    for device, responses in facts.devices_of(outcome.study.responses()):
        choices = advice.advise(facts.facts_of(responses)).choices
        choice = next(each for each in choices if each.wanted == advice.LATENCY)
        if choice.recipe is not None:
            ci95 = None if choice.ratio_ci95 is None else list(choice.ratio_ci95)
            one = {"recipe": choice.recipe, "ratio": choice.ratio, "ratio_ci95": ci95}
            found.append({"device": device.name, **one})
    return found


def _fastest_told(fastest: dict[str, Any]) -> str:
    ratio = f" ({fastest['ratio']:.2f}x)" if fastest["ratio"] is not None else ""
    return f"{fastest['recipe']}{ratio} on {fastest['device']}"


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "part": outcome.part,
        "application": outcome.application or None,
        "study": outcome.study.name if outcome.study else None,
        "study_id": outcome.study.id if outcome.study else None,
        "state": outcome.state.replace(" ", "_"),
        "reused": outcome.reused,
        "problems": [] if outcome.completed else _problems(outcome),
        "left_out": [{"recipe": recipe, "reason": why} for recipe, why in outcome.left_out],
        "fastest": _fastest(outcome),
    }
