from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.meters.alignment import CRYSTAL_DRIFT, EXCHANGES, Exchange, align, best_of
from edgemeter_agent.meters.calibration import Calibrated, Point, fit
from tests.unit.agent.meters.simulated_meter import SimulatedMeter

SECOND_NS = 1_000_000_000


class Hosts:
    """Two clocks. `there` is what the other host's shows when this board's shows `here`."""

    def __init__(self, offset_ns: int, drift: float) -> None:
        self.offset_ns, self.drift = offset_ns, drift

    def there(self, here_ns: int) -> int:
        # In whole numbers but for the drift: a clock may have more digits than a double.
        return here_ns + round(here_ns * self.drift) + self.offset_ns

    def exchange(self, here_ns: int, there_way_ns: int, served_ns: int, back_way_ns: int) -> Exchange:
        return Exchange(
            t1_ns=here_ns,
            t2_ns=self.there(here_ns + there_way_ns),
            t3_ns=self.there(here_ns + there_way_ns + served_ns),
            t4_ns=here_ns + there_way_ns + served_ns + back_way_ns,
        )


WAYS = st.integers(0, 50_000_000)


@given(
    offset_ns=st.integers(-(10**18), 10**18),
    ways=st.lists(st.tuples(WAYS, st.integers(0, 10**6), WAYS), min_size=1, max_size=EXCHANGES),
    start_ns=st.integers(0, 10**17),
)
def test_one_burst_is_wrong_by_half_its_shortest_round_trip_at_most(
    offset_ns: int, ways: list[tuple[int, int, int]], start_ns: int
) -> None:
    hosts = Hosts(offset_ns, 0.0)
    at_ns, burst = start_ns, []
    for way in ways:
        burst.append(hosts.exchange(at_ns, *way))
        at_ns = burst[-1].t4_ns + 1000
    best = best_of(burst)
    found = align([best])
    truth_ns = start_ns + 12345
    assert best.rtt_ns == min(there + back for there, _, back in ways)
    assert abs(found.to_local_ns(hosts.there(truth_ns)) - truth_ns) <= best.rtt_ns / 2 + 1
    # One burst tells nothing of drift.
    assert found.drift == pytest.approx(0.0, abs=1e-12)
    assert found.drift_uncertainty == pytest.approx(CRYSTAL_DRIFT)


@pytest.mark.parametrize("drift", [-60e-6, 0.0, 3e-6, 90e-6])
@pytest.mark.parametrize(("least_ns", "mean_ns"), [(30_000, 40_000), (800_000, 2_000_000)])
def test_offset_and_drift_of_a_run(drift: float, least_ns: int, mean_ns: int) -> None:
    """Five minutes with a burst every five seconds; ways that are alike but for queues on either."""
    random = np.random.default_rng(6)
    hosts = Hosts(987_654_321_012_345_678, drift)
    kept = []
    for second in range(0, 301, 5):
        burst, at_ns = [], second * SECOND_NS
        for _ in range(EXCHANGES):
            there, back = (least_ns + round(random.exponential(mean_ns)) for _ in range(2))
            burst.append(hosts.exchange(at_ns, there, 20_000, back))
            at_ns = burst[-1].t4_ns + 50_000
        kept.append(best_of(burst))
    found = align(kept)
    errors = [found.to_local_ns(hosts.there(at)) - at for at in range(0, 300 * SECOND_NS, SECOND_NS // 2)]
    assert max(map(abs, errors)) < min(each.rtt_ns for each in kept) / 2
    # The slope of here over there.
    assert found.drift == pytest.approx(1 / (1 + drift) - 1, abs=0.3e-6 + mean_ns / 300e9)
    assert abs(found.drift - (1 / (1 + drift) - 1)) < 4 * found.drift_uncertainty
    # What is stated is neither too little nor the round trip itself.
    assert float(np.sqrt(np.mean(np.square(errors)))) < found.residual_ns < found.rtt_ns


def test_two_bursts_close_together_claim_no_drift_that_no_crystal_has() -> None:
    hosts = Hosts(0, 0.0)
    # 1 s apart, one way late by 2 ms in each: a plain line would say 2000 ppm
    kept = [hosts.exchange(0, 2_000_000, 0, 100_000), hosts.exchange(SECOND_NS, 100_000, 0, 2_000_000)]
    assert abs(align(kept).drift) < CRYSTAL_DRIFT


def test_stamps_given_before_the_drift_was_known_are_in_the_residual() -> None:
    hosts = Hosts(5_000, 80e-6)
    kept = [hosts.exchange(second * SECOND_NS, 20_000, 5_000, 20_000) for second in range(0, 61, 5)]
    first = align(kept[:1])
    given = [
        (hosts.there(at), first.to_local_ns(hosts.there(at))) for at in range(0, 60 * SECOND_NS, SECOND_NS)
    ]
    late_ns = float(np.sqrt(np.mean([(here - at * SECOND_NS) ** 2 for at, (_, here) in enumerate(given)])))
    assert late_ns > 1e6
    assert align(kept).residual_ns < 50_000
    assert align(kept, given).residual_ns == pytest.approx(late_ns, rel=0.02)


def test_what_lies_beyond_the_last_burst_is_less_certain() -> None:
    """An unplugged network: readings went on for a minute, and no clock was compared after it."""
    hosts = Hosts(0, 0.0)
    kept = [hosts.exchange(0, 20_000, 0, 20_000)]
    only = align(kept)
    given = [
        (hosts.there(at), only.to_local_ns(hosts.there(at))) for at in range(0, 60 * SECOND_NS, SECOND_NS)
    ]
    # 60 s x 50 ppm, the root mean square of a ramp
    assert align(kept, given).residual_ns == pytest.approx(60e9 * CRYSTAL_DRIFT / np.sqrt(3), rel=0.05)


def test_a_calibration_does_not_hide_it() -> None:
    class Remote(SimulatedMeter):
        alignment_ns = 250_000.0

    known = fit(
        [Point(reference_mw=mw, read_mw=mw, uncertainty_mw=1.0) for mw in (1000.0, 5000.0)],
        reference="itself",
        made_at="2026-11-22T10:00:00+00:00",
    )
    assert Calibrated(Remote(), known).alignment_ns == 250_000
    assert Calibrated(SimulatedMeter(), known).alignment_ns == 0


@pytest.mark.parametrize(
    "exchange",
    [
        Exchange(t1_ns=10, t2_ns=0, t3_ns=0, t4_ns=9),
        Exchange(t1_ns=0, t2_ns=5, t3_ns=4, t4_ns=9),
        # served for longer than it was under way
        Exchange(t1_ns=0, t2_ns=0, t3_ns=100, t4_ns=50),
    ],
)
def test_impossible_times_are_no_exchange(exchange: Exchange) -> None:
    with pytest.raises(ValueError, match="no possible exchange"):
        best_of([exchange])
