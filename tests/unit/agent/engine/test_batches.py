"""Samples in batches: the same outputs as one by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine import golden
from edgemeter_agent.engine.batches import batch_of, run_samples
from edgemeter_agent.engine.child import Variant, answer
from edgemeter_protos.preprocessing import parse
from edgemeter_protos.v1 import engine_pb2, variant_pb2


class Sums:
    """A model of a fixed batch: two outputs, each sample's sum and its first number."""

    def __init__(self, batch_size: int) -> None:
        self.ran_on = "nothing"
        self.signature = variant_pb2.Signature(inputs=[variant_pb2.TensorSpec(shape=[batch_size, 3])])
        self.batches: list[np.ndarray] = []
        self._batch_size = batch_size

    def arena_bytes(self) -> int | None:
        return None

    def prepare(self, inputs: Sequence[np.ndarray]) -> None:
        assert inputs[0].shape == (self._batch_size, 3)
        self._prepared = inputs[0]

    def query(self) -> None:
        self.batches.append(self._prepared)

    def outputs(self) -> list[np.ndarray]:
        last = self.batches[-1].astype(np.float32)
        return [last.sum(axis=1, keepdims=True), last[:, 0]]


class Merging(Sums):
    """One number for the whole batch."""

    def outputs(self) -> list[np.ndarray]:
        return [output[:1] for output in super().outputs()]


def samples_of(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 100, (count, 3)).astype(np.float32)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 9), st.booleans())
def test_a_batch_changes_no_output(count: int, batch_size: int, preprocessed: bool) -> None:
    inputs = [samples_of(count)]
    preprocessing = [parse("scale=0.5,mean=1;2;3")] if preprocessed else []
    one_by_one = run_samples(Sums(1), inputs, count, preprocessing)
    together = run_samples(Sums(batch_size), inputs, count, preprocessing, batch_size)
    for alone, batched in zip(one_by_one, together, strict=True):
        assert len(batched) == -(-count // batch_size) * batch_size
        np.testing.assert_array_equal(batched[:count], alone)
        # What fills the last batch up is the first samples again.
        np.testing.assert_array_equal(batched, alone[np.arange(len(batched)) % count])


def test_a_batch_goes_on_with_the_first_samples() -> None:
    inputs = [np.arange(10, 15), np.arange(5) * 2]
    first, second = batch_of(inputs, 3, 5, 4)
    assert first.tolist() == [13, 14, 10, 11]
    assert second.tolist() == [6, 8, 0, 2]
    # a batch larger than all there is
    assert batch_of(inputs, 0, 2, 5)[0].tolist() == [10, 11, 10, 11, 10]


def test_only_the_samples_that_are_asked_for_fill_up() -> None:
    model = Sums(4)
    run_samples(model, [samples_of(10)], 5, (), 4)
    np.testing.assert_array_equal(model.batches[1], samples_of(10)[[4, 0, 1, 2]])


def test_a_model_that_merges_its_batch_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"output 0 has shape \[1, 1\] for a batch of 4: this model does not"
    ):
        run_samples(Merging(4), [samples_of(4)], 4, (), 4)


def test_no_samples() -> None:
    with pytest.raises(ValueError, match="there are no samples to run"):
        run_samples(Sums(1), [samples_of(1)], 0)


def child(folder: Path, model: Sums, batch_size: int) -> Variant:
    made = Variant(BoardRoot(folder))
    made._loaded = model
    made._asked = engine_pb2.ChildLoad(batch_size=batch_size)
    return made


def check(made: Variant, path: Path) -> engine_pb2.ChildReply:
    request = engine_pb2.ChildGolden(path=str(path), absolute_tolerance=0.1)
    return answer(made, engine_pb2.ChildRequest(golden=request))


def write_golden(folder: Path, count: int, wrong: int | None = None, by: float = 1.0) -> Path:
    inputs = samples_of(count)
    sums, firsts = inputs.sum(axis=1, keepdims=True), inputs[:, 0].copy()
    if wrong is not None:
        sums[wrong] += by
    path = folder / "golden.npz"
    np.savez(path, input_0=inputs, output_0=sums, output_1=firsts)
    return path


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_golden_samples_are_compared_one_by_one(tmp_path: Path, batch_size: int) -> None:
    model = Sums(batch_size)
    made = child(tmp_path, model, batch_size)
    assert check(made, write_golden(tmp_path, 5)).golden.matches
    # The first batch stays prepared.
    np.testing.assert_array_equal(model._prepared, samples_of(5)[np.arange(batch_size) % 5])
    for wrong in range(5):
        told = check(made, write_golden(tmp_path, 5, wrong)).golden
        assert not told.matches
        assert told.expected - told.actual == pytest.approx(1.0)
        assert told.actual == samples_of(5)[wrong].sum()


def test_a_place_in_the_batch_that_computes_wrongly_is_found(tmp_path: Path) -> None:
    """Three golden samples in a batch of eight: all eight places are looked at."""

    class Broken(Sums):
        def outputs(self) -> list[np.ndarray]:
            sums, firsts = super().outputs()
            sums[7] += 1
            return [sums, firsts]

    assert not check(child(tmp_path, Broken(8), 8), write_golden(tmp_path, 3)).golden.matches


def test_golden_outputs_that_do_not_go_with_their_inputs() -> None:
    with pytest.raises(ValueError, match="the golden pair has 4 inputs and 2 outputs"):
        golden.filled_up([np.zeros((2, 1))], 4, 8)
    # As before, where there is no batch to tell apart.
    assert len(golden.filled_up([np.zeros((2, 1))], 4, 1)[0]) == 2


def test_without_a_golden_pair_the_batch_is_zeros(tmp_path: Path) -> None:
    model = Sums(4)
    assert answer(
        child(tmp_path, model, 4), engine_pb2.ChildRequest(golden=engine_pb2.ChildGolden())
    ).golden.matches
    np.testing.assert_array_equal(model._prepared, np.zeros((4, 3)))


def test_a_golden_pair_without_samples_is_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "golden.npz", input_0=np.zeros((0, 3)), output_0=np.zeros((0, 1)))
    assert check(child(tmp_path, Sums(1), 1), tmp_path / "golden.npz").error == "golden.npz has no samples"


def test_an_evaluation_in_batches_writes_each_sample_once(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", input_0=samples_of(10))
    request = engine_pb2.ChildEvaluate(
        inputs_path=str(tmp_path / "in.npz"), outputs_path=str(tmp_path / "out.npz"), samples=7
    )
    reply = answer(child(tmp_path, Sums(4), 4), engine_pb2.ChildRequest(evaluate=request))
    assert reply.evaluated.samples == 7
    with np.load(tmp_path / "out.npz") as outputs:
        np.testing.assert_array_equal(outputs["output_0"], samples_of(10)[:7].sum(axis=1, keepdims=True))
        np.testing.assert_array_equal(outputs["output_1"], samples_of(10)[:7, 0])
