"""Results as an experiment tracker's runs: parameters, metrics, tags and one file each. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

from edgemeter_coordinator.report import export
from edgemeter_protos.v1 import lab_pb2

RESULT_TAG = "edgemeter.result"
"""Holds the result's id: who logs again finds what is there."""

_LONGEST_PARAMETER = 6000
"""MLflow keeps no longer one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One variant on one device. `failed` is a void verdict: its numbers are evidence, no result."""

    result_id: str
    name: str
    failed: bool
    parameters: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    # File name to content.
    artifacts: dict[str, bytes]


def runs_of(responses: Iterable[lab_pb2.ListResultsResponse]) -> list[Run]:
    """A run each, in the order given, named by recipe and device.

    Numbers that were measured are metrics by the names of the CSV's columns, and each of the task's metrics
    by where the outputs came from ("device.top1"); texts, and all of the plan, are parameters. What was not
    measured is in neither.
    """
    return [_run(response) for response in responses]


def _run(response: lab_pb2.ListResultsResponse) -> Run:
    (whole,) = export.exported([response])
    parameters: dict[str, str] = {}
    metrics: dict[str, float] = {}
    for name, value in export.flattened(whole).items():
        if value is None or value == "" or name in export.OPEN_COLUMNS:
            continue
        if isinstance(value, bool | str) or name.startswith("plan."):
            parameters[name] = str(value)[:_LONGEST_PARAMETER]
        elif math.isfinite(value):
            metrics[name] = float(value)
    for place, told in (("device", response.device_metrics), ("coordinator", response.manifest.metrics)):
        for one in told:
            if one.metric and math.isfinite(one.value):
                metrics[f"{place}.{one.metric}"] = one.value
    verdict = str(whole["verdict"]["state"])
    return Run(
        result_id=response.result.id,
        name=f"{response.manifest.recipe} on {response.device.name}",
        failed=verdict == "void",
        parameters=parameters,
        metrics=metrics,
        tags={
            RESULT_TAG: response.result.id,
            "edgemeter.study": response.study.name,
            "edgemeter.verdict": verdict,
            "edgemeter.variant": response.manifest.variant_id,
            "edgemeter.model": response.manifest.model_digest,
            "mlflow.source.name": "edgemeter",
        },
        artifacts={"result.json": (json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode()},
    )
