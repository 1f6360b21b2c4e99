"""The options of `edgemeter bench` that make a measurement plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from edgemeter_coordinator.cli.completion import complete_profile, complete_scenario
from edgemeter_protos import plans

_PLAN, _SCENARIO, _ENERGY = "How long and how often", "How queries arrive, and on what", "Energy and more"

Value = int | float | str | bool | list[int]
"""Of a field of a plan; a duration is a text ("10m")."""

Profile = Annotated[
    str | None,
    typer.Option(
        metavar="quick|standard|publication",
        help="How long and how often to measure; standard where neither this nor a plan file says.",
        autocompletion=complete_profile,
        rich_help_panel=_PLAN,
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="FILE.toml",
        help="A file with numbers of the plan; options given beside it win.",
        rich_help_panel=_PLAN,
    ),
]
Numbers = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=NUMBER",
        help="Replaces a number of the plan, as in blocks=8 or idle_duration=10s.",
        rich_help_panel=_PLAN,
    ),
]
Scenario = Annotated[
    str | None,
    typer.Option(
        metavar="single-stream|multi-stream|offline|server",
        help="One query after another; queries of several samples; all samples in batches; at random.",
        autocompletion=complete_scenario,
        rich_help_panel=_SCENARIO,
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch", min=1, help="Samples that go through the model at once.", rich_help_panel=_SCENARIO
    ),
]
SamplesPerQuery = Annotated[
    int | None, typer.Option(min=1, help="multi-stream: samples of a query.", rich_help_panel=_SCENARIO)
]
TargetQps = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="RATE",
        help="server: queries a second; without it the highest rate under the bound is looked for.",
        rich_help_panel=_SCENARIO,
    ),
]
LatencyBound = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="server: what the bounded percentile must stay under, as in 10ms.",
        rich_help_panel=_SCENARIO,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, max=256, help="Threads of the runtime; the profile says 1.", rich_help_panel=_SCENARIO
    ),
]
Accelerator = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="xnnpack, cuda, tensorrt, cpu, …; `edgemeter device show` lists a board's.",
        rich_help_panel=_SCENARIO,
    ),
]
Affinity = Annotated[
    str | None,
    typer.Option(metavar="CPUS", help="Processors to run on, as in 2-3 or 0,2.", rich_help_panel=_SCENARIO),
]
RequireEnergy = Annotated[
    bool,
    typer.Option(
        "--require-energy",
        help="Without a meter, measure nothing: refused before anything runs.",
        rich_help_panel=_ENERGY,
    ),
]
Meter = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The meter to read; else the one that covers most. `edgemeter meter ls` lists them.",
        rich_help_panel=_ENERGY,
    ),
]
Sustain = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="Run each variant so long without a pause, to see when it throttles: 10m.",
        rich_help_panel=_ENERGY,
    ),
]
Operators = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="QUERIES",
        help="Time each operator over so many queries, where the runtime can.",
        rich_help_panel=_ENERGY,
    ),
]


def parse_numbers(pairs: list[str]) -> dict[str, Value]:
    """Plan numbers of "block_min_queries=500" or "idle_duration=10s" each. Raises typer.BadParameter."""
    numbers: dict[str, Value] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        value = _number(text.strip())
        if value is None:
            raise typer.BadParameter(
                f"'{pair}' sets no number of the plan: write NAME=NUMBER, as in blocks=8 or idle_duration=10s"
            )
        numbers[name.strip()] = value
    return numbers


def parse_cpus(text: str) -> list[int]:
    """`plans.parse_cpus`. Raises typer.BadParameter."""
    try:
        return plans.parse_cpus(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def overrides(
    numbers: list[str] | None, *, affinity: str | None, **options: Value | None
) -> dict[str, Value]:
    """What replaces the profile's numbers, by the names that a plan goes by; a named option outdoes --set.

    `options` are by such names; None and False were not given. Raises typer.BadParameter.
    """
    cpus = None if affinity is None else parse_cpus(affinity)
    return {**parse_numbers(numbers or []), **_told({**options, "affinity_cpus": cpus})}


def _told(given: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in given.items() if value is not None and value is not False}


def _number(text: str) -> Value | None:
    """A number, or a text that begins like one: its unit is the plan's to judge."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text if re.match(r"[0-9]", text) else None
