"""Energy that a PC's processor counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.meters import PACKAGE, MeterError, rapl
from edgemeter_agent.meters.counter import Unwrapped, counted_reader, step_uj
from tests.boards import pc
from tests.unit.agent.meters.looking import look_once, only, unusable

SECOND_NS = 1_000_000_000


def test_only_packages_count(tmp_path: Path) -> None:
    said = only(rapl.find(pc.x86_rapl(tmp_path))).description
    assert [rail.name for rail in said.rails] == ["package-0"]
    assert (said.name, said.coverage, said.has_counter, said.lag_s) == ("rapl", PACKAGE, True, 0)


def test_the_counter_goes_on_over_a_wrap(tmp_path: Path) -> None:
    board = pc.x86_rapl(tmp_path)
    readings = only(rapl.find(board)).readings(Event())
    first = next(readings)
    assert (first.total_mw, first.counter_uj) == (0, 0)
    (tmp_path / pc.ZONE / "energy_uj").write_text(f"{pc.AFTER_UJ}\n")
    second = next(readings)
    assert second.counter_uj == 1_000_000
    elapsed_s = (second.monotonic_ns - first.monotonic_ns) / 1e9
    assert second.total_mw == pytest.approx(1000 / elapsed_s)


def test_packages_are_summed_and_wrap_apart(tmp_path: Path) -> None:
    board = pc.x86_rapl(tmp_path, packages=2)
    meter = only(rapl.find(board))
    assert [rail.name for rail in meter.description.rails] == ["package-0", "package-1"]
    readings = meter.readings(Event())
    next(readings)
    (tmp_path / pc.ZONE / "energy_uj").write_text(f"{pc.AFTER_UJ}\n")
    (tmp_path / "sys/class/powercap/intel-rapl:1/energy_uj").write_text(f"{pc.BEFORE_UJ + 500_000}\n")
    second = next(readings)
    assert second.counter_uj == 1_500_000
    assert second.rails_mw[0] == pytest.approx(2 * (second.rails_mw[1] or 0))
    assert second.total_mw == pytest.approx(sum(rail or 0 for rail in second.rails_mw))


def test_without_permission_it_says_which_line_to_write_where(tmp_path: Path) -> None:
    each = unusable(rapl.find(pc.x86_rapl(tmp_path, forbidden=True)))
    assert 'mode class/powercap/intel-rapl:0/energy_uj = 0444" into /etc/sysfs.conf' in each.reason
    assert "udev" in each.reason
    assert "\n" not in each.reason


def test_a_counter_that_goes_away(tmp_path: Path) -> None:
    meter = only(rapl.find(pc.x86_rapl(tmp_path)))
    (tmp_path / pc.ZONE / "energy_uj").unlink()
    with pytest.raises(MeterError) as failed:
        look_once(meter)
    assert failed.value.code == "meter_gone"


@pytest.mark.parametrize(
    ("before", "after", "range_uj", "elapsed_ns", "step"),
    [
        (100, 350, 1000, SECOND_NS, 250),
        (pc.BEFORE_UJ, pc.AFTER_UJ, pc.RANGE_UJ, SECOND_NS, 1_000_000),
        # it fell by 5 J, far from its end: a jump back, not 262 kJ in a second
        (200_000_000_000, 199_995_000_000, pc.RANGE_UJ, SECOND_NS, -5_000_000),
        # a counter that never wraps
        (1000, 10, 0, SECOND_NS, -990),
        # a range that the driver tells wrongly
        (5000, 10, 1000, SECOND_NS, -4990),
    ],
)
def test_a_step_of_the_counter(before: int, after: int, range_uj: int, elapsed_ns: int, step: int) -> None:
    assert step_uj(before, after, range_uj, elapsed_ns) == step


@given(
    st.lists(st.integers(0, 9_000_000), min_size=1, max_size=50),
    st.integers(10_000_000, pc.RANGE_UJ),
    st.integers(0, pc.RANGE_UJ),
)
def test_any_number_of_wraps_loses_nothing(steps_uj: list[int], range_uj: int, start: int) -> None:
    true_uj = [start]
    for step in steps_uj:
        true_uj.append(true_uj[-1] + step)
    shown: Iterator[int] = iter([value % range_uj for value in true_uj])
    unwrapped = Unwrapped(read_uj=lambda: next(shown), range_uj=range_uj)
    for second in range(len(true_uj)):
        total = unwrapped.read(second * SECOND_NS)
    assert total == sum(steps_uj)


def test_a_jump_back_stays_to_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter((5000, 6000, 200))
    times = iter(range(0, 100 * SECOND_NS, SECOND_NS))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(times))
    read = counted_reader([Unwrapped(read_uj=lambda: next(values), range_uj=0)], 10, "x", "y")
    first, second = read(), read()
    assert first.counter_uj == 1000
    # 1000 uJ over the two seconds between the middles of two looks
    assert first.total_mw == pytest.approx(0.5)
    assert second.counter_uj == -4800
    assert second.total_mw == pytest.approx(-2.9)


def test_a_fault_is_bridged_by_the_mean_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    values: Iterator[int | OSError] = iter((0, 1000, OSError(5, "I/O error"), 4000))
    times = iter(range(0, 100 * SECOND_NS, SECOND_NS))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(times))

    def value() -> int:
        each = next(values)
        if isinstance(each, OSError):
            raise each
        return each

    read = counted_reader([Unwrapped(read_uj=value, range_uj=0)], 10, "x", "y")
    assert read().counter_uj == 1000
    failed = read()
    assert (failed.total_mw, failed.fault) == (None, "EIO")
    after = read()
    assert after.counter_uj == 4000
    assert after.total_mw == pytest.approx(3 / 4)
