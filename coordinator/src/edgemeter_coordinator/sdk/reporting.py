"""What a report of studies is made of, fetched from a coordinator."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from edgemeter_coordinator.report.page.page import Material, Page, compose
from edgemeter_coordinator.report.page.traces import Trace, UnreadableTrace, read
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.sdk.parts import studies_of

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.lab import Lab
    from edgemeter_coordinator.sdk.study import Study

Say = Callable[[str], None]


def report(lab: Lab, references: Iterable[str], *, title: str | None = None, say: Say | None = None) -> Page:
    """The page of the studies that `references` name: each a study, or a study file for all of its parts.

    What could not be read beside the results (a power trace that is damaged or gone) is left out, and said.
    Raises EdgemeterError.
    """
    wanted = list(references)
    studies: dict[str, Study] = {}
    for reference in wanted:
        studies |= {study.id: study for study in studies_of(lab, reference)}
    return compose(
        [_material(lab, study, say or (lambda _: None)) for study in studies.values()],
        title=title or ", ".join(dict.fromkeys(reference.removesuffix("/*") for reference in wanted)),
        made_at=datetime.now(UTC),
        version=metadata.version("edgemeter-coordinator"),
    )


def _material(lab: Lab, study: Study, say: Say) -> Material:
    responses = study.responses()
    traces: dict[str, Trace] = {}
    with tempfile.TemporaryDirectory(prefix="edgemeter-report-") as folder:
        for response in responses:
            digest = response.result.trace_digest
            if not digest or digest in traces:
                continue
            try:
                lab.download(digest, Path(folder) / "trace.npz")
                trace = read(Path(folder) / "trace.npz")
            except (EdgemeterError, UnreadableTrace) as error:
                say(f"{study.name}: the power readings of {response.manifest.recipe} are left out: {error}")
                continue
            if trace is not None:
                traces[digest] = trace
    return Material(study=study.status(), responses=responses, traces=traces)
