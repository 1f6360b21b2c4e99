"""The search for the highest rate, against queues whose answer theory knows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_agent.engine.rate_search import (
    LEAST_SHARE,
    MOST_PROBES,
    PRECISION,
    START_SHARE,
    Found,
    held,
    next_rate,
)
from edgemeter_agent.engine.scenarios.arrivals import arrival_times
from edgemeter_agent.statistics.percentiles import percentile
from edgemeter_protos.v1 import result_pb2

QUERIES = 40_000
Probe = result_pb2.RateProbe


def search(try_rate: Callable[[float, int], Probe], service_ns: float, bound_ns: float) -> tuple[Found, int]:
    probes: list[Probe] = []
    while not isinstance(step := next_rate(probes, service_ns, bound_ns), Found):
        probes.append(try_rate(step, len(probes)))
        assert len(probes) <= MOST_PROBES
    return step, len(probes)


def queue(service_ns: float, bound_ns: float, seed: int, exponential: bool) -> Callable[[float, int], Probe]:
    """A server with one place, simulated: Poisson arrivals, and services constant (M/D/1) or exponential
    (M/M/1)."""
    random = np.random.default_rng(seed)

    def try_rate(rate: float, number: int) -> Probe:
        arrived = arrival_times(rate, 1000 * seed + number, QUERIES, 0).astype(np.float64)
        services = random.exponential(service_ns, QUERIES) if exponential else np.full(QUERIES, service_ns)
        done = np.cumsum(services)
        # end_i = max over j <= i of (arrival_j + services j..i)
        ends = done + np.maximum.accumulate(arrived - (done - services))
        latency_ns = percentile(ends - arrived, 99)
        so = held(
            latency_ns=latency_ns,
            bound_ns=bound_ns,
            unserved_queries=0,
            duration_ns=round(ends[-1]),
            last_arrival_ns=round(arrived[-1]),
        )
        return Probe(target_qps=rate, achieved_qps=QUERIES / ends[-1] * 1e9, latency_ns=latency_ns, held=so)

    return try_rate


def mm1_rate(bound: float) -> float:
    """M/M/1, service time 1: time in the system is exponential with rate 1 - rate (Kleinrock, "Queueing
    Systems" I, 3.2); its 99th percentile is ln(100) / (1 - rate)."""
    return 1 - math.log(100) / bound


def md1_rate(bound: float) -> float:
    """M/D/1, service time 1: C. D. Crommelin's distribution of the waiting time (1932), solved for the rate
    at which 99 % wait no longer than bound - 1."""
    wait = bound - 1
    low, high = 0.01, 0.99
    for _ in range(50):
        rate = (low + high) / 2
        terms = (
            (rate * (k - wait)) ** k / math.factorial(k) * math.exp(-rate * (k - wait))
            for k in range(math.floor(wait) + 1)
        )
        if (1 - rate) * sum(terms) >= 0.99:
            low = rate
        else:
            high = rate
    return low


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.floats(1e3, 1e9), st.floats(10, 40), st.integers(0, 1000))
def test_an_m_m_1_queue(service_ns: float, bound: float, seed: int) -> None:
    found, probes = search(queue(service_ns, bound * service_ns, seed, True), service_ns, bound * service_ns)
    assert found.highest_qps is not None
    assert 0.88 <= found.highest_qps * service_ns / 1e9 / mm1_rate(bound) <= 1.06
    assert probes <= 20


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.floats(1e3, 1e9), st.floats(2.5, 12), st.integers(0, 1000))
def test_an_m_d_1_queue(service_ns: float, bound: float, seed: int) -> None:
    found, probes = search(queue(service_ns, bound * service_ns, seed, False), service_ns, bound * service_ns)
    assert found.highest_qps is not None
    assert 0.88 <= found.highest_qps * service_ns / 1e9 / md1_rate(bound) <= 1.06
    assert probes <= 20


def test_a_bound_that_no_block_reaches_gives_no_more_than_the_server_can() -> None:
    """Arrivals of some 40,000 services, and a bound of a million: without the look at the backlog each rate
    would hold."""
    found, _probes = search(queue(1e6, 1e12, 5, False), 1e6, 1e12)
    assert found.highest_qps is not None
    assert 0.9 <= found.highest_qps * 1e6 / 1e9 <= 1.1


def oracle(edge_qps: float, wrong: frozenset[int] = frozenset()) -> Callable[[float, int], Probe]:
    """Holds up to the edge, but for the probes that err."""
    return lambda rate, number: Probe(target_qps=rate, held=(rate <= edge_qps) != (number in wrong))


@settings(deadline=None)
@given(st.floats(LEAST_SHARE * 1.1, 3))
def test_without_noise_the_edge_is_found_to_5_percent(edge: float) -> None:
    found, probes = search(oracle(edge), 1e9, 1e12)
    assert found.settled
    assert found.highest_qps is not None
    assert found.highest_qps <= edge <= found.highest_qps * PRECISION * (1 + 1e-9)
    assert probes <= 16


@settings(deadline=None)
@given(st.floats(0.2, 3), st.integers(0, MOST_PROBES))
def test_one_probe_that_errs_is_put_right(edge: float, wrong: int) -> None:
    found, _probes = search(oracle(edge, frozenset([wrong])), 1e9, 1e12)
    assert found.settled
    assert found.highest_qps is not None
    assert found.highest_qps <= edge <= found.highest_qps * PRECISION * (1 + 1e-9)


@settings(deadline=None, derandomize=True)
@given(st.floats(0.2, 2), st.integers(0, 2**32))
def test_probes_near_the_edge_may_err_and_the_search_ends_near_it(edge: float, seed: int) -> None:
    """One in two errs at the edge, one in 150 at 15 % from it."""
    random = np.random.default_rng(seed)

    def try_rate(rate: float, _number: int) -> Probe:
        holds = 1 / (1 + math.exp(min((rate - edge) / (0.03 * edge), 500)))
        return Probe(target_qps=rate, held=bool(random.random() < holds))

    found, _probes = search(try_rate, 1e9, 1e12)
    assert found.highest_qps is not None
    assert 0.75 <= found.highest_qps / edge <= 1.25


def test_it_starts_with_a_share_of_what_one_after_another_gives() -> None:
    assert next_rate([], 2e6, 1e9) == START_SHARE * 500


def test_a_model_slower_than_the_bound_is_not_probed_at_all() -> None:
    assert next_rate([], 2e6, 1e6) == Found(highest_qps=None, settled=True)


def test_a_bound_that_never_holds_ends_soon() -> None:
    found, probes = search(oracle(0), 1e6, 1e12)
    assert found == Found(highest_qps=None, settled=True)
    assert probes <= 6


def test_probes_without_end_are_ended() -> None:
    found, probes = search(oracle(math.inf), 1e6, 1e12)
    assert probes == MOST_PROBES
    assert not found.settled
    assert found.highest_qps is not None


@pytest.mark.parametrize(
    ("numbers", "so"),
    [
        # under the bound, over soon after the last arrival
        ({}, True),
        ({"latency_ns": 101.0}, False),
        ({"latency_ns": 100.0}, True),
        # given up: what waited is not known to the end
        ({"unserved_queries": 1}, False),
        # a backlog of a tenth, and the bound's, are let pass; no more
        ({"duration_ns": 10_600}, True),
        ({"duration_ns": 10_601}, False),
        # a bound of any length does not excuse a backlog
        ({"bound_ns": 1e9, "duration_ns": 11_000}, True),
        ({"bound_ns": 1e9, "duration_ns": 11_001}, False),
    ],
)
def test_when_a_bound_held(numbers: dict[str, float], so: bool) -> None:
    usual = {
        "latency_ns": 90.0,
        "bound_ns": 100.0,
        "unserved_queries": 0,
        "duration_ns": 10_050,
        "last_arrival_ns": 10_000,
    }
    assert held(**{**usual, **numbers}) is so  # type: ignore[arg-type]
