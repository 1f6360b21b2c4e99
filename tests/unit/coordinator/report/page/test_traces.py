"""Power readings from a board's file: thinned out, and not believed blindly."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemeter_coordinator.report.page import traces

SECOND_NS = 1_000_000_000


def arrays(readings: int = 10) -> dict[str, NDArray[np.generic]]:
    return {
        "power_monotonic_ns": 5 * SECOND_NS + np.arange(readings, dtype=np.int64) * SECOND_NS,
        "power_total_mw": np.linspace(3000, 5000, readings),
        "windows_ns": np.array([[6 * SECOND_NS, 8 * SECOND_NS], [9 * SECOND_NS, 10 * SECOND_NS]]),
        "windows_kept": np.array([True, False]),
        "idle_ns": np.array([[5 * SECOND_NS, 6 * SECOND_NS]]),
    }


def test_a_trace_in_seconds_and_watts(tmp_path: Path) -> None:
    np.savez(tmp_path / "trace.npz", **arrays())  # type: ignore[arg-type]
    trace = traces.read(tmp_path / "trace.npz")
    assert trace is not None
    assert trace.seconds[:2] == [0, 1]
    assert trace.watts[0] == 3
    assert trace.windows == [(1, 3, True), (4, 5, False)]
    assert trace.idle == [(0, 1)]


def test_no_reading_is_no_trace() -> None:
    assert traces.trace_of(arrays(0)) is None


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"power_monotonic_ns": np.zeros(3)}, id="no power"),
        pytest.param({"power_monotonic_ns": np.zeros(3), "power_total_mw": np.zeros(2)}, id="not alike"),
        pytest.param({"power_monotonic_ns": np.zeros(()), "power_total_mw": np.zeros(())}, id="numbers"),
        pytest.param({"power_monotonic_ns": np.array(["a"]), "power_total_mw": np.array(["b"])}, id="words"),
    ],
)
def test_arrays_that_are_no_trace(broken: dict[str, NDArray[np.generic]]) -> None:
    with pytest.raises(traces.UnreadableTrace):
        traces.trace_of(broken)


def test_a_damaged_file_and_a_pickle_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.npz"
    path.write_bytes(b"PK nothing")
    with pytest.raises(traces.UnreadableTrace, match="damaged"):
        traces.read(path)
    np.savez(path, power_monotonic_ns=np.array([object()]), power_total_mw=np.zeros(1))
    with pytest.raises(traces.UnreadableTrace, match="can't be read"):
        traces.read(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("power_total_mw.npy", b"\0" * 100_000)
    (tmp_path / "bomb.npz").write_bytes(packed.getvalue())
    monkeypatch.setattr(traces, "MAX_BYTES", 50_000)
    with pytest.raises(traces.UnreadableTrace, match="at most"):
        traces.read(tmp_path / "bomb.npz")


@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=400),
    st.integers(2, 60).map(lambda n: 2 * n),
)
def test_thinning_keeps_the_extremes_and_the_order(values: list[float], most: int) -> None:
    at = np.arange(len(values), dtype=np.float64)
    kept_at, kept = traces.thinned(at, np.array(values, dtype=np.float64), most)
    assert len(kept) <= most
    assert (np.diff(kept_at) > 0).all()
    known = [value for value in values if value == value]
    if known:
        assert (kept.min(), kept.max()) == (min(known), max(known))
