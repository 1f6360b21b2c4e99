from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine.child import Variant, answer
from edgemeter_protos.preprocessing import apply, parse
from edgemeter_protos.v1 import engine_pb2, variant_pb2


class Echo:
    """Outputs are the prepared inputs, added up over all but the batch: what went in can be seen."""

    signature = variant_pb2.Signature()
    ran_on = "nothing"

    def arena_bytes(self) -> int | None:
        return None

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def prepare(self, inputs: Sequence[np.ndarray]) -> None:
        self.seen.append(tuple(inputs))

    def query(self) -> None:
        pass

    def outputs(self) -> list[np.ndarray]:
        return [array.reshape(1, -1).sum(axis=1, dtype=np.float32) for array in self.seen[-1]]


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def variant(echo: Echo, tmp_path: Path) -> Variant:
    made = Variant(BoardRoot(tmp_path))
    made._loaded = echo
    return made


PICTURES = np.random.RandomState(1).randint(0, 256, (5, 4, 6, 3)).astype(np.uint8)
NUMBERS = np.arange(10, dtype=np.int32).reshape(5, 2)


def ask(variant: Variant, folder: Path, *preprocessing: str, samples: int = 0) -> engine_pb2.ChildReply:
    np.savez(folder / "in.npz", input_0=PICTURES, input_1=NUMBERS)
    request = engine_pb2.ChildEvaluate(
        inputs_path=str(folder / "in.npz"),
        outputs_path=str(folder / "out.npz"),
        samples=samples,
        preprocessing=[parse(text) for text in preprocessing],
    )
    return answer(variant, engine_pb2.ChildRequest(evaluate=request))


def test_each_sample_is_preprocessed_as_the_coordinator_does(
    variant: Variant, echo: Echo, tmp_path: Path
) -> None:
    text = "scale=1/255,mean=0.485;0.456;0.406,std=0.229;0.224;0.225,layout=nchw"
    reply = ask(variant, tmp_path, text, "")
    assert (reply.error, reply.evaluated.samples) == ("", 5)
    expected = apply(parse(text), PICTURES)
    for number, (pictures, numbers) in enumerate(echo.seen):
        assert pictures.shape == (1, 3, 4, 6)
        assert pictures.tobytes() == expected[number : number + 1].tobytes()
        assert numbers.dtype == np.int32
        np.testing.assert_array_equal(numbers, NUMBERS[number : number + 1])
    with np.load(tmp_path / "out.npz") as outputs:
        np.testing.assert_array_equal(outputs["output_1"], NUMBERS.sum(axis=1))


def test_without_preprocessing_samples_go_in_as_they_are(
    variant: Variant, echo: Echo, tmp_path: Path
) -> None:
    assert ask(variant, tmp_path, samples=2).evaluated.samples == 2
    assert len(echo.seen) == 2
    assert echo.seen[1][0].dtype == np.uint8
    np.testing.assert_array_equal(echo.seen[1][0], PICTURES[1:2])


@pytest.mark.parametrize(
    ("preprocessing", "error"),
    [
        pytest.param(
            ["scale=2"], "there is preprocessing for 1 inputs, and there are 2", id="one for two inputs"
        ),
        pytest.param(
            ["mean=1;2", ""],
            "mean has 2 numbers, and a sample of shape (4, 6, 3) has 3 channels: "
            "give one number, or one a channel",
            id="channels",
        ),
    ],
)
def test_preprocessing_that_does_not_fit_is_one_line(
    variant: Variant, tmp_path: Path, preprocessing: list[str], error: str
) -> None:
    assert ask(variant, tmp_path, *preprocessing).error == error
