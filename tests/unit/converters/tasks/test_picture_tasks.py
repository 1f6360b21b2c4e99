from __future__ import annotations

import numpy as np
import pytest

from edgemeter_converters import tasks
from edgemeter_converters.tasks import Truth
from edgemeter_protos.v1 import variant_pb2


def _pictures(seed: int, samples: int, side: int = 16, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).random((samples, side, side, channels), np.float32)


def _found(task: tasks.Task, outputs: np.ndarray, truth: Truth) -> dict[tuple[str, str], float]:
    return {(each.metric, each.against): each.value for each in task.metrics([outputs], truth)}


@pytest.mark.parametrize("name", ["generative", "super-resolution"])
@pytest.mark.parametrize(
    ("shapes", "fits"),
    [
        ([(-1, 64, 64, 3)], True),
        ([(-1, 3, 64, 64)], True),
        # Of any size.
        ([(-1, -1, -1, 3)], True),
        ([(-1, 28, 28)], False),
        ([(-1, 10)], False),
        ([(-1, 8, 8, 3), (-1, 8, 8, 3)], False),
    ],
)
def test_models_that_fit(name: str, shapes: list[tuple[int, ...]], fits: bool) -> None:
    outputs = [variant_pb2.TensorSpec(shape=shape, dtype="float32") for shape in shapes]
    signature = variant_pb2.Signature(outputs=outputs)
    assert tasks.task(name).fits(signature) is fits
    assert tasks.task_of(signature) not in ("generative", "super-resolution")


@pytest.mark.parametrize(
    ("text", "canonical", "noun"),
    [
        ("generative", "generative(unit)", "picture"),
        ("generative(range=symmetric)", "generative(symmetric)", "picture"),
        ("super-resolution(byte)", "super-resolution(byte)", "frame"),
    ],
)
def test_text(text: str, canonical: str, noun: str) -> None:
    task = tasks.task(text)
    assert task.text == tasks.task(task.text).text == canonical
    assert task.sample_noun == noun


def test_range_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="'range' is 'signed', expected one of unit, symmetric, byte"):
        tasks.task("generative(signed)")


def test_generated_pictures_and_real_ones_in_order() -> None:
    made, original = _pictures(0, 40), _pictures(1, 40)
    real = (_pictures(2, 40, side=20, channels=1) * 255).astype(np.uint8)
    found = _found(tasks.task("generative"), made, Truth(labels=real, original=(original,)))
    assert list(found) == [
        ("fid_fashion", "labels"),
        ("psnr", "original"),
        ("ssim", "original"),
        ("mse", "original"),
        ("fid_fashion", "original"),
    ]
    # Of two uniform numbers the mean squared difference is 1/6.
    assert found["mse", "original"] == pytest.approx(1 / 6, rel=0.02)
    assert found["psnr", "original"] == pytest.approx(7.78, abs=0.1)
    assert found["fid_fashion", "original"] < found["fid_fashion", "labels"] / 2


def test_layout_and_range_do_not_matter() -> None:
    made, original = _pictures(0, 40), _pictures(1, 40)
    expected = _found(tasks.task("generative"), made, Truth(original=(original,)))
    turned = (2 * made - 1).transpose(0, 3, 1, 2)
    truth = Truth(original=((2 * original - 1).transpose(0, 3, 1, 2),))
    assert _found(tasks.task("generative(symmetric)"), turned, truth) == pytest.approx(expected, rel=1e-3)


def test_few_and_small_pictures_have_fewer_metrics() -> None:
    made = _pictures(0, 4, side=8, channels=1)
    found = _found(tasks.task("generative"), made, Truth(labels=made, original=(made,)))
    assert list(found) == [("psnr", "original"), ("mse", "original")]


def test_range_is_told_by_the_original() -> None:
    pictures = 2 * _pictures(0, 4) - 1
    for name in ("generative", "super-resolution"):
        with pytest.raises(ValueError, match=rf"{name}\(unit\) wants 0 to 1: name the range"):
            tasks.task(name).metrics([pictures], Truth(original=(pictures,)))


def test_super_resolution_against_both_truths() -> None:
    real = _pictures(0, 5, side=12)
    original, made = np.clip(real + 0.01, 0, 1), np.clip(real + 0.02, 0, 1)
    found = _found(
        tasks.task("super-resolution"),
        made,
        Truth(labels=(real * 255).astype(np.uint8), original=(original,)),
    )
    assert list(found) == [
        (metric, against) for against in ("labels", "original") for metric in ("psnr", "ssim", "mse")
    ]
    assert found["psnr", "original"] == pytest.approx(40, abs=0.2)
    # 0.02 more, and half a step of a byte.
    assert found["psnr", "labels"] == pytest.approx(33.2, abs=0.3)


def test_without_a_truth_there_is_no_metric() -> None:
    for name in ("generative", "super-resolution"):
        assert tasks.task(name).metrics([_pictures(0, 3)], Truth()) == ()


def test_pictures_of_another_size_are_not_the_truth() -> None:
    truth = Truth(labels=_pictures(0, 3, side=24))
    with pytest.raises(ValueError, match=r"those of the labels have \(3, 24, 24, 3\)"):
        tasks.task("super-resolution").metrics([_pictures(0, 3, side=12)], truth)


@pytest.mark.parametrize("name", ["generative", "super-resolution"])
def test_refuses(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} scores one output, got 2"):
        tasks.task(name).metrics([_pictures(0, 3)] * 2, Truth())
    with pytest.raises(ValueError, match="the original's outputs hold values that are not numbers"):
        tasks.task(name).metrics([_pictures(0, 3)], Truth(original=(np.full((3, 16, 16, 3), np.nan),)))
    assert f"{name} wants pictures" in tasks.task(name).misfit(variant_pb2.TensorSpec(dtype="int64"))
