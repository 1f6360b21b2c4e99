from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.runtimes.batch import batched, check_free, check_outputs, repeated
from edgemeter_protos.v1 import variant_pb2


def specs(*shapes: list[int]) -> list[variant_pb2.TensorSpec]:
    return [
        variant_pb2.TensorSpec(name=f"t{number}", dtype="float32", shape=shape)
        for number, shape in enumerate(shapes)
    ]


def signature(inputs: list[list[int]], outputs: list[list[int]]) -> variant_pb2.Signature:
    return variant_pb2.Signature(inputs=specs(*inputs), outputs=specs(*outputs))


def test_the_batch_is_every_tensors_first_dimension() -> None:
    made = batched(signature([[-1, 28, 28, 1], [1, 3]], [[-1, 10]]), 8)
    assert [list(spec.shape) for spec in (*made.inputs, *made.outputs)] == [[8, 28, 28, 1], [8, 3], [8, 10]]


def test_a_batch_of_one_changes_nothing() -> None:
    plain = signature([[-1, 3]], [[]])
    assert batched(plain, 1) == plain


def test_the_given_signature_is_left_alone() -> None:
    plain = signature([[1, 3]], [[1, 2]])
    batched(plain, 4)
    assert list(plain.inputs[0].shape) == [1, 3]


def test_a_single_number_takes_no_batch() -> None:
    with pytest.raises(ValueError, match=r"^output 0 \(t0\) is a single number, and 4 samples were to go"):
        batched(signature([[1, 3]], [[]]), 4)


@pytest.mark.parametrize(
    ("shapes", "batch_size", "said"),
    [
        # free, as large as the batch, or no batch at all: nothing to refuse
        ([[-1, 3]], 4, None),
        ([[4, 3]], 4, None),
        ([[1, 3]], 1, None),
        ([[2, 3]], 1, None),
        # fixed at another size
        ([[1, 3]], 4, r"input 0 \(t0\) is fixed at 1 samples, and a batch of 4 was asked for"),
        ([[-1, 3], [2, 3]], 4, r"input 1 \(t1\) is fixed at 2 samples"),
    ],
)
def test_fixed_batches(shapes: list[list[int]], batch_size: int, said: str | None) -> None:
    if said is None:
        check_free("input", specs(*shapes), batch_size)
        return
    with pytest.raises(ValueError, match=said):
        check_free("input", specs(*shapes), batch_size)


@pytest.mark.parametrize(
    ("shapes", "batch_size", "bad"),
    [
        ([(4, 10), (4,)], 4, None),
        ([(1, 10)], 1, None),
        ([()], 1, None),
        # folded into one row, spread into more, or added up
        ([(4, 10), (1, 40)], 4, "output 1 has shape [1, 40] for a batch of 4"),
        ([(40, 10)], 4, "output 0 has shape [40, 10]"),
        ([()], 4, "output 0 has shape []"),
    ],
)
def test_outputs_must_keep_samples_apart(
    shapes: list[tuple[int, ...]], batch_size: int, bad: str | None
) -> None:
    if bad is None:
        check_outputs(shapes, batch_size)
        return
    with pytest.raises(ValueError, match="the model does not keep its samples apart") as refused:
        check_outputs(shapes, batch_size)
    assert str(refused.value).startswith(bad)


@given(st.integers(1, 9), st.integers(1, 4))
def test_one_sample_is_repeated_and_a_full_batch_is_not(batch_size: int, width: int) -> None:
    one = np.arange(width, dtype=np.float32)[None]
    (filled,) = repeated([one], batch_size)
    assert filled.shape == (batch_size, width)
    assert (filled == one).all()
    if batch_size > 1:
        assert repeated([filled], batch_size)[0] is filled
