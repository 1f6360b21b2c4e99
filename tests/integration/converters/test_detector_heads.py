"""Heads of real detectors: our decoders find what the detectors' own graphs do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemeter_converters import tasks
from edgemeter_converters.tasks.anchors import ssd_anchors
from edgemeter_converters.tasks.boxes import Boxes
from edgemeter_converters.tasks.decoders import HEADS, LEAST_SCORE, Settings

ROOT = Path(__file__).parents[3]
PERSON, CHAIR, BIRD = 0, 56, 14
"""Of COCO's 80 classes."""

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow, pytest.mark.timeout(600)]

Graphs = Mapping[str, NDArray[Any]]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    out = tmp_path_factory.mktemp("detectors") / "graphs.npz"
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.converters.detector_graphs", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(out) as arrays:
        return dict(arrays)


def of(found: Boxes, picture: int, least: float) -> Boxes:
    return found.where((found.pictures == picture) & (found.scores >= least))


def test_anchors_are_the_graphs(graphs: Graphs) -> None:
    ours = ssd_anchors(300)
    corners = np.concatenate([ours[:, :2] - ours[:, 2:] / 2, ours[:, :2] + ours[:, 2:] / 2], axis=1)
    np.testing.assert_allclose(graphs["ssd_anchors"][:1917], corners, atol=1e-6)


def test_ssd_finds_what_its_graph_finds(graphs: Graphs) -> None:
    head = HEADS["ssd"].make(Settings(classes=1))
    found = head.decode([graphs["ssd_encodings"], graphs["ssd_logits"]])
    for picture, (corners, scores) in enumerate(
        zip(graphs["ssd_corners"], graphs["ssd_scores"], strict=True)
    ):
        ours = of(found, picture, LEAST_SCORE)
        theirs = scores >= LEAST_SCORE
        np.testing.assert_allclose(ours.scores, scores[theirs], atol=1e-6)
        np.testing.assert_allclose(ours.corners, corners[theirs], atol=1e-6)
    (astronaut,) = of(found, 0, 0.5).corners
    assert astronaut == pytest.approx([0.07, 0.01, 0.99, 0.74], abs=0.03)
    assert len(of(found, 1, 0.5)) == 0, "nobody sits on the chairs"


def test_centernet_finds_what_its_graph_finds(graphs: Graphs) -> None:
    head = HEADS["centernet"].make(Settings(classes=80))
    found = head.decode([graphs["centernet_heat"], graphs["centernet_sides"]])
    for picture, detections in enumerate(graphs["centernet_detections"]):
        ours = of(found, picture, LEAST_SCORE)
        corners = np.clip(detections[:, [1, 0, 3, 2]] / 512, 0, 1)
        theirs = (detections[:, 4] >= LEAST_SCORE) & ((corners[:, 2:] - corners[:, :2]).prod(axis=1) > 0)
        np.testing.assert_allclose(ours.scores, detections[theirs, 4], atol=1e-6)
        np.testing.assert_allclose(ours.corners, corners[theirs], atol=1e-6)
        assert ours.classes.tolist() == detections[theirs, 5].astype(int).tolist()
    assert of(found, 0, 0.5).classes.tolist() == [PERSON]
    assert set(of(found, 1, 0.5).classes.tolist()) == {CHAIR}
    assert set(of(found, 2, 0.5).classes.tolist()) == {BIRD}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("detection(ssd,classes=1)", ("ssd_encodings", "ssd_logits")),
        ("detection(centernet,classes=80)", ("centernet_heat", "centernet_sides")),
    ],
)
def test_a_detector_agrees_with_itself(text: str, names: tuple[str, str], graphs: Graphs) -> None:
    outputs = tuple(graphs[name] for name in names)
    found = tasks.task(text).metrics(outputs, tasks.Truth(original=outputs))
    assert [(each.metric, each.value) for each in found] == [
        ("agreement_map50", 1.0),
        ("agreement_map", 1.0),
    ]
