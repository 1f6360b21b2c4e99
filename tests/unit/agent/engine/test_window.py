"""Windows of back-to-back queries, on a clock that only moves with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine.window import take_window, throttle_shown, throttled
from edgemeter_protos.v1 import engine_pb2, result_pb2

SECOND_NS = 1_000_000_000
START_NS = 5 * SECOND_NS


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = START_NS
        self.queries = 0
        monkeypatch.setattr(time, "perf_counter_ns", lambda: self.now_ns)
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.now_ns)

    def query(self, lasts_ns: Callable[[int], int]) -> Callable[[], None]:
        def run() -> None:
            self.now_ns += lasts_ns(self.now_ns)
            self.queries += 1

        return run


@pytest.fixture
def board(tmp_path: Path) -> BoardRoot:
    """A Raspberry Pi at 2.4 GHz and 50 degrees."""
    files = {
        "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "2400000",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone0/temp": "50000",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "0",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return BoardRoot(tmp_path)


def heat(board: BoardRoot, millicelsius: int, khz: int, bits: str) -> None:
    board.path("sys/class/thermal/thermal_zone0/temp").write_text(f"{millicelsius}\n")
    board.path("sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq").write_text(f"{khz}\n")
    board.path("sys/devices/platform/soc/soc:firmware/get_throttled").write_text(f"{bits}\n")


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 5000), st.integers(1, 700), st.integers(1, 16), st.integers(0, 5))
def test_a_window_is_as_long_as_its_queries_need(
    duration_ns: int, query_ns: int, batch_size: int, warm_up: int
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        clock = Clock(monkeypatch)
        request = engine_pb2.ChildWindow(duration_ns=duration_ns, warmup_min_queries=warm_up)
        done = take_window(request, clock.query(lambda _: query_ns), batch_size, BoardRoot(Path("/nowhere")))
    # Warm-up and what follows the conditions are before the window.
    assert done.begin_ns == START_NS + (warm_up + min(warm_up, 3)) * query_ns
    assert done.queries == max(-(-duration_ns // query_ns), 1)
    assert done.end_ns - done.begin_ns == done.queries * query_ns
    assert done.end_ns == clock.now_ns
    assert done.samples == done.queries * batch_size
    assert done.before.monotonic_ns <= done.begin_ns
    assert done.after.monotonic_ns == done.end_ns
    assert not done.points


def test_a_sustained_load_shows_the_board_slow_down(
    monkeypatch: pytest.MonkeyPatch, board: BoardRoot
) -> None:
    """Four seconds; after two the board is hot, and a query takes twice as long."""
    clock = Clock(monkeypatch)

    def lasts(now_ns: int) -> int:
        if now_ns - START_NS < 2 * SECOND_NS:
            return 10_000_000
        heat(board, 85000, 1500000, "e0008" if now_ns - START_NS < 3 * SECOND_NS else "e0000")
        return 20_000_000

    request = engine_pb2.ChildWindow(duration_ns=4 * SECOND_NS, point_interval_ns=SECOND_NS)
    done = take_window(request, clock.query(lasts), 2, board)
    assert [
        (point.at_ns // 1_000_000, point.p50_ns, point.p99_ns, point.queries) for point in done.points
    ] == [
        (1000, 1e7, 1e7, 100),
        (2000, 1e7, 1e7, 100),
        (3000, 2e7, 2e7, 50),
        (4000, 2e7, 2e7, 50),
    ]
    shown = [(p.temperature_millicelsius, p.frequency_hz, p.throttled) for p in done.points]
    # In the last interval nothing new happened, and the board is not slowed down any more at its end.
    assert shown == [
        (50000, 2_400_000_000, False),
        (50000, 2_400_000_000, False),
        (85000, 1_500_000_000, True),
        (85000, 1_500_000_000, False),
    ]
    assert (done.queries, done.samples) == (300, 600)
    assert (done.begin_ns, done.end_ns) == (START_NS, START_NS + 4 * SECOND_NS)
    assert not any(point.HasField("power_mw") for point in done.points)


def test_a_board_that_shows_nothing_leaves_its_fields_out(monkeypatch: pytest.MonkeyPatch) -> None:
    request = engine_pb2.ChildWindow(duration_ns=SECOND_NS, point_interval_ns=SECOND_NS // 2)
    query = Clock(monkeypatch).query(lambda _: 1_000_000)
    for point in take_window(request, query, 1, BoardRoot(Path("/nowhere"))).points:
        assert not point.HasField("frequency_hz")
        assert not point.HasField("temperature_millicelsius")
        assert not point.throttled


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 5000), st.integers(0, 4))
def test_a_warm_up_goes_over_into_the_window(warm_up_ns: int, queries: int) -> None:
    """Conditions are read before it; after it there is no pause."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        clock = Clock(monkeypatch)
        request = engine_pb2.ChildWindow(
            duration_ns=1000, warmup_min_queries=queries, warmup_min_duration_ns=warm_up_ns
        )
        done = take_window(request, clock.query(lambda _: 100), 1, BoardRoot(Path("/nowhere")))
    assert done.before.monotonic_ns == START_NS + queries * 100
    rewarm = max(min(queries, 3), -(-warm_up_ns // 100))
    assert done.begin_ns == done.before.monotonic_ns + rewarm * 100
    assert done.queries == 10


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5000), st.integers(200, 3000), st.lists(st.integers(1, 900), min_size=1, max_size=20))
def test_points_part_the_window_and_lose_no_query(
    duration_ns: int, interval_ns: int, lasts: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        clock = Clock(monkeypatch)
        request = engine_pb2.ChildWindow(duration_ns=duration_ns, point_interval_ns=interval_ns)
        query = clock.query(lambda _: lasts[clock.queries % len(lasts)])
        done = take_window(request, query, 1, BoardRoot(Path("/nowhere")))
    assert sum(point.queries for point in done.points) == done.queries == clock.queries
    ends = [point.at_ns for point in done.points]
    assert ends == sorted(set(ends))
    assert ends[-1] == done.end_ns - done.begin_ns >= duration_ns
    # One query may outlast an interval; then the next one ends where it would have.
    assert all(b - a <= interval_ns + max(lasts) for a, b in zip([0, *ends], ends, strict=False))
    assert all(min(lasts) <= point.p50_ns <= point.p99_ns <= max(lasts) for point in done.points)


def snapshot(bits: int | None = None, events: int | None = None) -> result_pb2.Snapshot:
    return result_pb2.Snapshot(throttled_bits=bits, throttle_events=events)


@pytest.mark.parametrize(
    ("before", "after", "so"),
    [
        (snapshot(), snapshot(), False),
        # capped, throttled, soft limit: now
        (snapshot(0), snapshot(0x2), True),
        (snapshot(0xE0004), snapshot(0xE0004), True),
        # in between: the sticky bit is new
        (snapshot(0), snapshot(0x40000), True),
        # long ago
        (snapshot(0x40000), snapshot(0x40000), False),
        # under-voltage alone
        (snapshot(0), snapshot(0x10001), False),
        # nothing known of before
        (snapshot(), snapshot(0x40000), False),
        (snapshot(events=3), snapshot(events=4), True),
        (snapshot(events=3), snapshot(events=3), False),
        (snapshot(), snapshot(events=3), False),
    ],
)
def test_when_a_board_was_slowed_down(
    before: result_pb2.Snapshot, after: result_pb2.Snapshot, so: bool
) -> None:
    assert throttled(before, after) is so


def test_throttling_is_read_through_the_board(board: BoardRoot) -> None:
    heat(board, 80000, 1500000, "50005")
    assert throttle_shown(board) == result_pb2.Snapshot(throttled_bits=0x50005)
