from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemeter_converters.tasks.average_precision import OVERLAPS, average_precision, match
from edgemeter_converters.tasks.boxes import Boxes

coco = pytest.importorskip("pycocotools.coco")
cocoeval = pytest.importorskip("pycocotools.cocoeval")

EVERY = range(len(OVERLAPS))


def scene(seed: int, *, pictures: int, classes: int, noise: float, ties: bool) -> tuple[Boxes, Boxes]:
    """What there is, and what somebody found of it: moved a little, missed, made up and found twice."""
    generator = np.random.default_rng(seed)
    per_picture = generator.integers(0, 8, pictures)
    of_wanted = np.repeat(np.arange(pictures), per_picture)
    start = generator.random((len(of_wanted), 2)) * 0.7
    corners = np.concatenate([start, start + 0.05 + generator.random((len(of_wanted), 2)) * 0.25], axis=1)
    wanted = Boxes(
        pictures=of_wanted,
        corners=corners,
        classes=generator.integers(0, classes, len(of_wanted)),
        scores=np.ones(len(of_wanted)),
    )
    picked = np.sort(generator.integers(0, max(len(wanted), 1), 2 * len(wanted)))
    moved = corners[picked] + generator.normal(size=(len(picked), 4)) * noise
    moved = np.concatenate(
        [np.minimum(moved[:, :2], moved[:, 2:]), np.maximum(moved[:, :2], moved[:, 2:])], 1
    )
    confused = generator.random(len(picked)) < 0.1
    scores = generator.random(len(picked))
    found = Boxes(
        pictures=of_wanted[picked],
        corners=np.clip(moved, 0, 1),
        classes=np.where(confused, generator.integers(0, classes, len(picked)), wanted.classes[picked]),
        scores=scores.round(1) if ties else scores,
    )
    return found, wanted


def of_coco(found: Boxes, wanted: Boxes, pictures: int) -> tuple[float, float]:
    """AP and AP50 by pycocotools, in pixels of a picture of 1000 x 1000."""

    def rows(boxes: Boxes) -> list[dict[str, object]]:
        return [
            {
                "id": place + 1,
                "image_id": int(boxes.pictures[place]),
                "category_id": int(boxes.classes[place]),
                "bbox": [x0 * 1000, y0 * 1000, (x1 - x0) * 1000, (y1 - y0) * 1000],
                "area": (x1 - x0) * (y1 - y0) * 1e6,
                "iscrowd": 0,
                "score": float(boxes.scores[place]),
            }
            for place, (y0, x0, y1, x1) in enumerate(boxes.corners.tolist())
        ]

    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "images": [{"id": each} for each in range(pictures)],
            "categories": [{"id": int(each)} for each in np.unique(wanted.classes)],
            "annotations": rows(wanted),
        }
        truth.createIndex()
        known = np.isin(found.classes, wanted.classes)
        results = coco.COCO()
        results.dataset = {**truth.dataset, "annotations": rows(found.where(known))}
        results.createIndex()
        evaluation = cocoeval.COCOeval(truth, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # all areas, 100 boxes
    return float(precision[precision > -1].mean()), float(precision[0][precision[0] > -1].mean())


@pytest.mark.parametrize("ties", [False, True], ids=["", "ties"])
@pytest.mark.parametrize("noise", [0.0, 0.005, 0.02, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_as_pycocotools(seed: int, noise: float, ties: bool) -> None:
    pictures = 12
    found, wanted = scene(seed, pictures=pictures, classes=1 + 3 * (seed % 2), noise=noise, ties=ties)
    matched = match(found, wanted, pictures)
    ours = (average_precision(matched, EVERY)[0], average_precision(matched, [0])[0])
    assert ours == pytest.approx(of_coco(found, wanted, pictures), abs=1e-6)


def test_as_pycocotools_with_more_than_a_hundred_boxes_of_a_picture() -> None:
    found, wanted = scene(9, pictures=1, classes=1, noise=0.03, ties=False)
    copies = 60
    generator = np.random.default_rng(1)
    many = Boxes(
        pictures=np.zeros(len(found) * copies, np.int64),
        corners=np.clip(np.tile(found.corners, (copies, 1)), 0, 1),
        classes=np.tile(found.classes, copies),
        scores=generator.random(len(found) * copies),
    )
    assert len(many) > 100
    matched = match(many, wanted, 1)
    assert average_precision(matched, EVERY)[0] == pytest.approx(of_coco(many, wanted, 1)[0], abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.floats(0, 0.3), st.booleans())
def test_is_a_share_and_falls_with_the_overlap_asked_for(seed: int, noise: float, ties: bool) -> None:
    found, wanted = scene(seed, pictures=6, classes=3, noise=noise, ties=ties)
    matched = match(found, wanted, 6)
    if not matched:
        return
    each = [average_precision(matched, [overlap])[0] for overlap in EVERY]
    assert all(0 <= value <= 1 for value in each)
    assert average_precision(matched, EVERY)[0] == pytest.approx(np.mean(each))
    assert each[0] >= each[-1]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_perfect_detections_give_one_whatever_comes_after_them(seed: int) -> None:
    _found, wanted = scene(seed, pictures=6, classes=3, noise=0, ties=False)
    made_up, _wanted = scene(seed + 1, pictures=6, classes=4, noise=0.1, ties=False)
    if len(wanted) == 0:
        return
    pictures = np.concatenate([wanted.pictures, made_up.pictures])
    order = np.argsort(pictures, kind="stable")
    both = Boxes(
        pictures=pictures[order],
        corners=np.concatenate([wanted.corners, made_up.corners])[order],
        classes=np.concatenate([wanted.classes, made_up.classes])[order],
        scores=np.concatenate([np.full(len(wanted), 0.9), made_up.scores * 0.5])[order],
    )
    assert average_precision(match(both, wanted, 6), EVERY).tolist() == [1.0]


def test_a_choice_of_pictures_is_those_pictures() -> None:
    """Weights stand for pictures that are there so often."""
    found, wanted = scene(5, pictures=8, classes=2, noise=0.02, ties=False)
    generator = np.random.default_rng(2)
    weights = generator.integers(0, 3, (5, 8)).astype(np.float64)
    weights[0] = 1
    weights[1] = 0
    values = average_precision(match(found, wanted, 8), EVERY, weights)
    assert values[0] == average_precision(match(found, wanted, 8), EVERY)[0]
    assert np.isnan(values[1])
    for value, row in zip(values[2:], weights[2:], strict=True):
        drawn = np.repeat(np.arange(8), row.astype(int))
        again = match(_copied(found, drawn), _copied(wanted, drawn), len(drawn))
        assert value == pytest.approx(average_precision(again, EVERY)[0])


def _copied(boxes: Boxes, drawn: NDArray[np.int64]) -> Boxes:
    places = [np.flatnonzero(boxes.pictures == each) for each in drawn]
    chosen = boxes.where(np.concatenate(places))
    numbers = np.repeat(np.arange(len(drawn)), [len(each) for each in places])
    return Boxes(pictures=numbers, corners=chosen.corners, classes=chosen.classes, scores=chosen.scores)
