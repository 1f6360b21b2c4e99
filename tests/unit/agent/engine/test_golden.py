from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgemeter_agent.engine import arrays
from edgemeter_agent.engine.golden import compare

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("expected", "actual", "matches", "largest", "pair"),
    [
        ([1.0, 2.0], [1.0, 2.0], True, 0.0, None),
        # at the tolerance: 0.5 + 0.25 * 2
        ([1.0, 2.0], [1.0, 3.0], True, 1.0, (2.0, 3.0)),
        ([1.0, 2.0], [1.0, 3.5], False, 1.5, (2.0, 3.5)),
        # the largest difference is within its tolerance, a smaller one is not
        ([100.0, 0.0], [110.0, 1.0], False, 10.0, (0.0, 1.0)),
        ([-4.0], [-5.5], True, 1.5, (-4.0, -5.5)),
        # what is no number matches only its like
        ([NAN, INF], [NAN, INF], True, 0.0, None),
        ([1.0], [NAN], False, np.finfo(np.float64).max, (1.0, NAN)),
        ([NAN], [1.0], False, np.finfo(np.float64).max, (NAN, 1.0)),
        ([INF], [1.0], False, INF, (INF, 1.0)),
        ([INF], [-INF], False, INF, (INF, -INF)),
    ],
)
def test_tolerances(
    expected: list[float],
    actual: list[float],
    matches: bool,
    largest: float,
    pair: tuple[float, float] | None,
) -> None:
    found = compare([np.array(expected)], [np.array(actual)], 0.5, 0.25)
    assert found.matches is matches
    if np.isfinite(largest) and largest < 1e300:
        assert found.max_absolute_error == largest
    else:
        assert found.max_absolute_error == INF
    if pair is not None:
        np.testing.assert_equal((found.expected, found.actual), pair)


def test_every_output_counts() -> None:
    golden = [np.zeros((2, 3)), np.ones(4)]
    assert not compare(golden, [np.zeros((2, 3)), np.array([1, 1, 1, 2.0])], 0.1, 0).matches


@pytest.mark.parametrize(
    ("expected", "actual", "says"),
    [
        ([np.zeros(2)], [], "has 1 outputs, and the model gave 0"),
        (
            [np.zeros((1, 2))],
            [np.zeros((2, 1))],
            "golden output 0 has shape [1, 2], and the model gave [2, 1]",
        ),
        ([np.zeros(0)], [np.zeros(0)], "no output elements"),
    ],
)
def test_outputs_that_cannot_be_compared(expected: list[Any], actual: list[Any], says: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        compare(expected, actual, 0, 0)
    assert says in str(caught.value)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=5), elements=st.floats(-1e6, 1e6, width=32)),
    st.floats(0, 10),
    st.floats(0, 1),
)
def test_an_output_matches_itself(output: Any, absolute: float, relative: float) -> None:
    assert compare([output], [output], absolute, relative).matches


def test_numbered_arrays_in_their_order(tmp_path: Path) -> None:
    path = str(tmp_path / "a.npz")
    arrays.write(path, {f"input_{n}": np.full((2, 1), n) for n in range(11)})
    assert [int(array[0, 0]) for array in arrays.read_numbered(path, "input")] == list(range(11))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"output_0": np.zeros(1)}, "has no array input_0"),
        ({"input_0": np.zeros((2, 1)), "input_1": np.zeros((3, 1))}, "differ in their number of samples"),
        ({"input_0": np.array(1.0)}, "differ in their number of samples"),
        ({"input_0": np.array([{}], object)}, "is no .npz of plain arrays"),
    ],
)
def test_archives_that_do_not_fit(tmp_path: Path, content: dict[str, Any], says: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **content)
    with pytest.raises(ValueError, match=says):
        arrays.read_numbered(str(path), "input")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no archive at all", b"\x80\x04."])
def test_files_that_are_no_archives(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz is no \.npz of plain arrays"):
        arrays.read_numbered(str(path), "input")


def test_a_bare_array_and_no_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    for name in ("a.npy", "absent.npz"):
        with pytest.raises(ValueError, match=r"is no \.npz of plain arrays"):
            arrays.read_numbered(str(tmp_path / name), "input")
