"""How to repeat a study: commands, seeds, tools, digests. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgemeter_coordinator.report import plan_view
from edgemeter_protos import plans
from edgemeter_protos.durations import format_duration, parse_duration
from edgemeter_protos.report.times import SCENARIOS
from edgemeter_protos.v1 import lab_pb2, plan_pb2, variant_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    commands: tuple[str, ...]
    # A word and its value, both as people read them.
    plan: tuple[tuple[str, str], ...]
    # (what, SHA-256): model, data, each variant's file.
    digests: tuple[tuple[str, str], ...]
    # (tool, versions)
    tools: tuple[tuple[str, str], ...]
    seeds: str


def repeat(study: lab_pb2.Study) -> Repeat:
    manifests = [each.manifest for each in study.variants if each.HasField("manifest")]
    digests = [("model " + study.model_name, study.model_digest)]
    if study.dataset_digest:
        digests.append(("data " + study.dataset_name, study.dataset_digest))
    digests += [(each.recipe, each.artifact_digest) for each in manifests]
    return Repeat(
        commands=(bench_command(study), *bundle_commands(study.name)),
        plan=tuple(plan_view.numbers(study.plan)),
        digests=tuple((name, digest) for name, digest in digests if digest),
        tools=_tools(manifests),
        seeds=_seeds(study, manifests),
    )


def bundle_commands(name: str) -> tuple[str, str]:
    """The study as one file, model and data with it, and the study again from that file."""
    file = name.replace("/", "-") + ".zip"
    return (
        shlex.join(["edgemeter", "study", "bundle", name, "-o", file, "--with-files"]),
        shlex.join(["edgemeter", "study", "replay", file]),
    )


def bench_command(study: lab_pb2.Study) -> str:
    """One that submits the same study, on the same boards, at a coordinator that knows model and data."""
    words = ["edgemeter", "bench", study.model_name]
    if study.dataset_name:
        words += ["--data", study.dataset_name]
    for variant in study.variants:
        words += ["--recipe", variant.recipe]
    for device in dict.fromkeys(job.device_name for job in study.jobs):
        words += ["--device", device]
    return shlex.join([*words, *plan_options(study.plan)])


def plan_options(plan: plan_pb2.Plan) -> list[str]:
    """Options of `bench` that resolve to this plan: its profile, and each number that differs from it."""
    if plan.profile not in plans.PROFILES:
        return []
    usual = plans.resolve(plan.profile)
    options = ["--profile", plan.profile]
    if plan.scenario != usual.scenario:
        options += ["--scenario", SCENARIOS.get(plan.scenario, "")]
    for field in plan.DESCRIPTOR.fields:
        value: Any = getattr(plan, field.name)
        same = value == getattr(usual, field.name)
        if not same and field.name not in ("profile", "scenario", *_WITH_AN_OPTION):
            options += ["--set", _setting(field.name, value)]
    if list(plan.affinity_cpus):
        options += ["--affinity", ",".join(map(str, plan.affinity_cpus))]
    if plan.accelerator:
        options += ["--accelerator", plan.accelerator]
    if plan.meter:
        options += ["--meter", plan.meter]
    if plan.require_energy:
        options += ["--require-energy"]
    return options


_WITH_AN_OPTION = ("affinity_cpus", "accelerator", "meter", "require_energy")


def _setting(name: str, value: float) -> str:
    """ "blocks=8", "sustain_duration=1m"."""
    if name.endswith("_ns") and isinstance(value, int):
        said = format_duration(value)
        return f"{name.removesuffix('_ns')}={said}" if parse_duration(said) == value else f"{name}={value}"
    return f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"


def _tools(manifests: Sequence[variant_pb2.Manifest]) -> tuple[tuple[str, str], ...]:
    versions: dict[str, set[str]] = {}
    for manifest in manifests:
        for tool, version in manifest.tool_versions.items():
            versions.setdefault(tool, set()).add(version)
    return tuple((tool, ", ".join(sorted(found))) for tool, found in sorted(versions.items()))


def _seeds(study: lab_pb2.Study, manifests: Sequence[variant_pb2.Manifest]) -> str:
    seeds = sorted({manifest.seed for manifest in manifests})
    conversion = f"; conversion {', '.join(map(str, seeds))}" if seeds else ""
    return f"plan {study.plan.seed}{conversion}"
