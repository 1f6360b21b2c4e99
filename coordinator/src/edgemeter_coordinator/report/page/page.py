"""Results to a page: everything that the templates write down, decided here. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from edgemeter_coordinator.report.page import courses
from edgemeter_coordinator.report.page.advice import Advice, advise
from edgemeter_coordinator.report.page.changes import Changes, changes
from edgemeter_coordinator.report.page.conditions import Condition, board, conditions, unreadable
from edgemeter_coordinator.report.page.facts import built_only, devices_of, facts_of
from edgemeter_coordinator.report.page.figures import Plot
from edgemeter_coordinator.report.page.forest import forest
from edgemeter_coordinator.report.page.operators import operators
from edgemeter_coordinator.report.page.pareto import pareto
from edgemeter_coordinator.report.page.repeat import Repeat, repeat
from edgemeter_coordinator.report.page.table import Table, built, every_metric, table
from edgemeter_coordinator.report.page.traces import Trace
from edgemeter_protos.report.times import SCENARIOS
from edgemeter_protos.v1 import lab_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """What a page is made of: a study as it is now, its results, and power readings by their digest."""

    study: lab_pb2.Study
    responses: Sequence[lab_pb2.ListResultsResponse]
    traces: Mapping[str, Trace] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class DevicePart:
    """One study on one device. `anchor` is unique on the page."""

    anchor: str
    name: str
    about: str
    board: Sequence[tuple[str, str]]
    advice: Advice
    table: Table
    metrics: Table
    changes: Sequence[Changes]
    plots: Sequence[Plot]
    inside: Sequence[Plot]
    power: Sequence[Plot]
    conditions: Sequence[Condition]
    unreadable: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyPart:
    """`title` is the part's name in its study file, else the study's; `missing` says what is not there and
    why, a (what, why) each; `unmeasured` are variants that were built and measured on no board."""

    anchor: str
    name: str
    title: str
    about: str
    state: str
    devices: Sequence[DevicePart]
    missing: Sequence[tuple[str, str]]
    # None where every variant was measured.
    unmeasured: Table | None
    notes: Sequence[tuple[str, str]]
    attachments: Sequence[tuple[str, str, int, str]]
    repeat: Repeat


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    title: str
    studies: Sequence[StudyPart]
    made_at: str
    version: str

    @property
    def plots(self) -> list[Plot]:
        """All, in the order of their numbers."""
        return [
            plot
            for study in self.studies
            for device in study.devices
            for plot in (*device.plots, *device.inside, *device.power)
        ]


def compose(materials: Sequence[Material], *, title: str, made_at: datetime, version: str) -> Page:
    """A page of studies, in the order given."""
    numbers = count(1)
    return Page(
        title=title,
        studies=[_study(each, next(numbers)) for each in materials],
        made_at=made_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=version,
    )


def _study(material: Material, number: int) -> StudyPart:
    study = material.study
    by_device = devices_of(material.responses)
    only_built = built_only(study, material.responses)
    task = next((each.manifest.task for each in study.variants if each.manifest.task), "")
    about = [
        study.model_name,
        f"for {task}" if task else "",
        f"on {study.dataset_name}" if study.dataset_name else "",
    ]
    # "compression/resnet" is the part "resnet" of the study file "compression".
    title = study.name.partition("/")[2].rstrip("/") or study.name
    return StudyPart(
        anchor=f"s{number}",
        name=study.name,
        title=title,
        about=" ".join(filter(None, about)),
        state=_enum(lab_pb2.StudyState.Name(study.state), "STUDY_STATE_"),
        devices=[
            _device(device, responses, material, f"s{number}d{index}")
            for index, (device, responses) in enumerate(by_device, 1)
        ],
        missing=_missing(study),
        unmeasured=built(only_built) if only_built else None,
        notes=[(each.recipe, note) for each in study.variants for note in each.manifest.notes],
        attachments=[
            (each.recipe, attached.name, attached.size_bytes, attached.about)
            for each in study.variants
            for attached in each.manifest.attachments
        ],
        repeat=repeat(study),
    )


def _device(
    device: lab_pb2.Device,
    responses: Sequence[lab_pb2.ListResultsResponse],
    material: Material,
    anchor: str,
) -> DevicePart:
    variants = facts_of(responses)
    advice = advise(variants)
    plan = material.study.plan
    inside = [operators(responses), courses.sustained(responses)]
    fronts = pareto(variants, advice)
    # Beside a third front there is room for it.
    against = forest(variants, wide=len(fronts) % 2 == 0)
    return DevicePart(
        anchor=anchor,
        name=device.name,
        about=", ".join(filter(None, (device.facts.board, device.facts.arch))),
        board=board(device),
        advice=advice,
        table=table(variants, advice, scenario=SCENARIOS.get(plan.scenario, "")),
        metrics=every_metric(variants),
        changes=changes(variants, advice),
        plots=[*fronts, *([against] if against else [])],
        inside=[plot for plot in inside if plot is not None],
        power=courses.power(responses, material.traces),
        conditions=(found := conditions(responses)),
        unreadable=unreadable(found),
    )


def _missing(study: lab_pb2.Study) -> list[tuple[str, str]]:
    """Variants that were not built and jobs that did not complete."""
    found = [
        (each.recipe, f"not built: {each.error or 'no reason given'}")
        for each in study.variants
        if each.state == lab_pb2.VARIANT_STATE_FAILED
    ]
    for job in study.jobs:
        if job.state in (lab_pb2.JOB_STATE_COMPLETED, lab_pb2.JOB_STATE_UNSPECIFIED):
            continue
        state = _enum(lab_pb2.JobState.Name(job.state), "JOB_STATE_")
        found.append((job.device_name, ": ".join(filter(None, (state, job.detail)))))
    return found


def _enum(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def answers(page: Page) -> list[dict[str, Any]]:
    """The recommendations for programs: one object a study and device."""
    return [
        {
            "study": study.name,
            "device": device.name,
            "basis": device.advice.basis,
            "metric": None
            if device.advice.metric is None
            else dict(zip(("name", "against", "place"), device.advice.metric, strict=True)),
            "choices": [
                {
                    "wanted": choice.wanted,
                    "answer": choice.answer,
                    "recipe": choice.recipe,
                    "headline": choice.headline,
                    "ratio": choice.ratio,
                    "ratio_ci95": list(choice.ratio_ci95) if choice.ratio_ci95 else None,
                    "notes": list(choice.notes),
                }
                for choice in device.advice.choices
            ],
            "notes": list(device.advice.notes),
        }
        for study in page.studies
        for device in study.devices
    ]
