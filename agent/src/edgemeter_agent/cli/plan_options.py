"""The options of `edgemeter-agent bench` that make its plan."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from edgemeter_protos import plan_file, plans
from edgemeter_protos.v1 import plan_pb2

OPTIONS: tuple[tuple[str, str, str, Any, str], ...] = (
    ("--threads", "threads", "N", int, "threads of the runtime (default: 1)"),
    ("--processes", "processes", "N", int, "fresh processes for each model"),
    ("--blocks", "blocks", "N", int, "timed blocks in each process"),
    ("--min-queries", "min_queries", "N", int, "fewest timed queries in a block"),
    ("--min-duration", "min_duration", "TIME", str, "shortest timed block: 2s, 250ms"),
    ("--seed", "seed", "N", int, "orders the blocks and the arrivals (default: 0)"),
    ("--batch", "batch_size", "N", int, "samples that go through the model at once"),
    ("--samples-per-query", "samples_per_query", "N", int, "multi-stream: samples of a query (default: 8)"),
    ("--target-qps", "target_qps", "RATE", float, "server: queries a second that arrive"),
    (
        "--latency-bound",
        "latency_bound",
        "TIME",
        str,
        "server: bound of p99; without --target-qps the highest rate under it is looked for",
    ),
    ("--accelerator", "accelerator", "NAME", str, "cpu, xnnpack, cuda, …: see doctor"),
    ("--energy-windows", "energy_windows", "N", int, "windows of measured energy; 0 for none"),
    ("--meter", "meter", "NAME", str, "a meter of `meter ls`, or a spec: exec:PROGRAM, remote:HOST:PORT, …"),
    ("--sustain", "sustain", "TIME", str, "run without a pause for so long, to see throttling: 10m"),
    ("--operators", "profiled_queries", "N", int, "queries over which each operator is timed"),
)
"""Option, the plan's name for it, what stands in the help for its value, its type, help."""


def add_to(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("plan", "each replaces one number of the profile or the plan file")
    group.add_argument("--profile", choices=list(plans.PROFILES), help="default: quick")
    group.add_argument("--plan", metavar="FILE", help="a plan as TOML, for example blocks = 6")
    group.add_argument("--scenario", choices=list(plans.SCENARIOS), help="default: single-stream")
    for option, _name, metavar, type_, help_ in OPTIONS:
        group.add_argument(option, metavar=metavar, type=type_, help=help_)
    group.add_argument("--affinity", metavar="CPUS", help="processors that the model may use: 2,3")
    group.add_argument("--require-energy", action="store_true", help="measure nothing without a meter")


def plan_of(args: argparse.Namespace) -> plan_pb2.Plan:
    """The profile, then the file, then the options. Raises ValueError, a line for the user."""
    profile, overrides = plan_file.read(args.plan) if args.plan else (None, {})
    given: dict[str, plans.Value] = {}
    for option, name, *_ in OPTIONS:
        value = getattr(args, option.removeprefix("--").replace("-", "_"))
        if value is not None:
            given[name] = _with_unit(value) if name == "min_duration" else value
    if args.scenario:
        given["scenario"] = args.scenario
    if args.affinity is not None:
        given["affinity_cpus"] = plans.parse_cpus(args.affinity)
    if args.require_energy:
        given["require_energy"] = True
    return plans.resolve(args.profile or profile or "quick", **{**overrides, **plans.normalized(given)})


def specs_of(plan: plan_pb2.Plan) -> list[str]:
    """What the plan's meter is beside those on the board: a name without a colon is one of theirs."""
    return [plan.meter] if ":" in plan.meter else []


def _with_unit(text: str) -> str:
    """A bare number is seconds."""
    with contextlib.suppress(ValueError):
        float(text)
        return f"{text}s"
    return text
