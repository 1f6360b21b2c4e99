"""Random power curves of whole measurements: idle, windows of back-to-back queries, idle. Faster than
time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemeter_agent.energy.integrate import UJ_PER_MW_NS, Span
from edgemeter_agent.energy.windows import EXTENDED, WindowPlan

Numbers = npt.NDArray[np.float64]

BEGIN_NS = 5_000_000_000_000
SECOND_NS = 1_000_000_000
CHUNK = 500


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Attributes:
    power_mw: on a grid of `step_ns` from BEGIN_NS on.
    windows: with `inferences` each.
    gross_uj: of an inference on average: the energy that the windows' power has without its fluctuations.
    net_uj: likewise, beyond what idle takes on average of before and after.
    consumed_uj: of an inference, as it went in just these windows.
    """

    power_mw: Numbers
    step_ns: int
    idle_before: Span
    idle_after: Span
    windows: tuple[Span, ...]
    inferences: tuple[int, ...]
    gross_uj: float
    net_uj: float
    consumed_uj: float


def first_order(values: Numbers, step_s: float, lag_s: float) -> Numbers:
    """What a low-pass tau * y' = x - y makes of values that are constant over each step; settled at first.

    In chunks: y[n] = a^n * (y[0] + (1 - a) * sum(x[k] / a^k)), which overflows for long ones.
    """
    if lag_s <= 0:
        return values
    keep = math.exp(-step_s / lag_s)
    chunk = int(min(CHUNK, max(600 * lag_s / step_s, 1)))
    powers = keep ** np.arange(1, chunk + 1)
    padded = np.concatenate((values, np.full(-values.size % chunk, values[-1]))).reshape(-1, chunk)
    own = np.cumsum(padded / powers, axis=1) * powers * (1 - keep)
    carried = np.empty(len(padded))
    last = float(values[0])
    for row in range(len(padded)):
        carried[row] = last
        last = float(own[row, -1] + powers[-1] * last)
    filtered: Numbers = (own + powers * carried[:, None]).ravel()[: values.size]
    return filtered


def draw(
    random: np.random.Generator,
    plan: WindowPlan,
    windows: int,
    idle_range_mw: tuple[float, float],
    load_range_mw: tuple[float, float],
    step_ns: int,
    query_range_ns: tuple[float, float],
) -> Curve:
    """One measurement of one variant, as the plan has it."""
    query_ns = int(math.exp(random.uniform(*np.log(query_range_ns))))
    idle_mw = random.uniform(*idle_range_mw)
    load_mw = random.uniform(*load_range_mw)
    settle, gap = plan.settle_ns, int(random.uniform(20e6, 200e6))
    at = BEGIN_NS + settle
    idle_before = Span(begin_ns=at, end_ns=at + plan.idle_ns)
    at = idle_before.end_ns
    busy, spans, counts = [], [], []
    for _ in range(windows):
        at += gap + (settle if plan.lag_rule == EXTENDED else 0)
        begin = at + plan.warmup_ns
        count = math.ceil(plan.duration_ns / query_ns)
        spans.append(Span(begin_ns=begin, end_ns=begin + count * query_ns))
        counts.append(count)
        busy.append(Span(begin_ns=at, end_ns=spans[-1].end_ns))
        at = spans[-1].end_ns + (settle if plan.lag_rule == EXTENDED else 0)
    at += settle
    idle_after = Span(begin_ns=at, end_ns=at + plan.idle_ns)
    steps = (idle_after.end_ns + settle - BEGIN_NS) // step_ns
    time_s = (np.arange(steps) + 0.5) * step_ns / SECOND_NS
    expected, power = _power(random, time_s, busy, spans, idle_mw, load_mw, query_ns, step_ns)
    inferences = sum(counts)
    gross = sum(_energy(expected, span, step_ns) for span in spans) / inferences
    idle_mean = np.mean(
        [_energy(expected, span, step_ns) / span.duration_ns for span in (idle_before, idle_after)]
    )
    net = gross - float(idle_mean) * sum(span.duration_ns for span in spans) / inferences
    return Curve(
        power_mw=power,
        step_ns=step_ns,
        idle_before=idle_before,
        idle_after=idle_after,
        windows=tuple(spans),
        inferences=tuple(counts),
        gross_uj=gross,
        net_uj=net,
        consumed_uj=sum(_energy(power, span, step_ns) for span in spans) / inferences,
    )


def _power(
    random: np.random.Generator,
    time_s: Numbers,
    busy: list[Span],
    windows: list[Span],
    idle_mw: float,
    load_mw: float,
    query_ns: int,
    step_ns: int,
) -> tuple[Numbers, Numbers]:
    """Expected power, and power with everything that varies by chance, whose mean is 0."""
    step_s = step_ns / SECOND_NS
    share_busy = np.zeros(time_s.size)
    chance = np.zeros(time_s.size)
    # How far two windows differ: where the arrays lie, what else the board does.
    differ = random.uniform(0, 0.006) * (idle_mw + load_mw)
    for whole in busy:
        first, last = ((edge - BEGIN_NS) / step_ns for edge in (whole.begin_ns, whole.end_ns))
        inside = slice(int(first), math.ceil(last))
        share_busy[inside] = 1.0
        share_busy[int(first)] = 1 - first % 1
        share_busy[math.ceil(last) - 1] = last % 1 or 1.0
        chance[inside] += random.normal(0, differ)
    # A warming chip leaks more, and cools down after.
    leak = random.uniform(-0.005, 0.03) * load_mw
    warm = first_order(np.concatenate(([0.0], share_busy)), step_s, random.uniform(20, 120))[1:]
    expected = idle_mw + load_mw * share_busy + leak * warm
    # Fluctuations of a load, some faster than any meter, some slower than a reading.
    wander = random.uniform(0, 0.02) * load_mw
    correlation_s = 10 ** random.uniform(-2, -0.3)
    noise = first_order(random.normal(size=time_s.size), step_s, correlation_s)
    chance += wander * share_busy * noise / max(float(noise.std()), 1e-12)
    # Layers of a model differ: power alternates within a query.
    if query_ns >= 4 * step_ns:
        phase = (time_s * SECOND_NS / query_ns) % 1
        chance += random.uniform(0, 0.15) * load_mw * share_busy * np.sign(phase - 0.5)
    # Now and then something runs on the idle board.
    for start in np.flatnonzero(random.random(time_s.size) < 0.05 * step_s):
        length = int(random.uniform(0.05, 0.5) / step_s)
        own = slice(start, start + length)
        chance[own] += 0.1 * idle_mw * (1 - share_busy[own])
    return expected, expected + chance


def _energy(power: Numbers, span: Span, step_ns: int) -> float:
    """Exact, for power that is constant over each step."""
    cumulated = np.concatenate(([0.0], np.cumsum(power))) * step_ns * UJ_PER_MW_NS
    grid = np.arange(cumulated.size) * float(step_ns)
    edges = np.array([span.begin_ns - BEGIN_NS, span.end_ns - BEGIN_NS], np.float64)
    begin_uj, end_uj = np.interp(edges, grid, cumulated)
    return float(end_uj - begin_uj)
