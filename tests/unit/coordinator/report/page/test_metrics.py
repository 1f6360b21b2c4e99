"""Which metric counts, how much of it may be lost, and how far apart two variants are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.report.page import differences, metrics
from edgemeter_coordinator.report.page.metrics import COORDINATOR, DEVICE, Metric
from edgemeter_protos.against import LABELS, ORIGINAL
from edgemeter_protos.v1 import variant_pb2
from tests.unit.coordinator.report.responses import full, nothing_measured


def metric(name: str = "top1", value: float = 0.9, **fields: object) -> Metric:
    return Metric(name=name, value=value, **{"samples": 1000, **fields})  # type: ignore[arg-type]


def agreement(value: float, **fields: object) -> Metric:
    return metric("agreement", value, against=ORIGINAL, **fields)


TOP1 = ("top1", LABELS, DEVICE)


@pytest.mark.parametrize(
    ("variants", "expected"),
    [
        pytest.param([], None, id="no variant"),
        pytest.param([(), ()], None, id="nothing was scored"),
        pytest.param([(metric(),), (metric(),)], TOP1, id="labels"),
        pytest.param(
            [(agreement(1.0), metric()), (agreement(0.9), metric())], TOP1, id="labels before agreement"
        ),
        pytest.param(
            [(agreement(1.0),), (agreement(0.9),)], ("agreement", ORIGINAL, DEVICE), id="agreement alone"
        ),
        pytest.param(
            [(metric(), metric(place=COORDINATOR)), (metric(place=COORDINATOR),)],
            ("top1", LABELS, COORDINATOR),
            id="what two have, though the baseline has another on the device",
        ),
        pytest.param([(metric(),), ()], TOP1, id="no other has any"),
        pytest.param([(), (metric(),)], TOP1, id="only another has one"),
    ],
)
def test_main_key(variants: list[tuple[Metric, ...]], expected: tuple[str, str, str] | None) -> None:
    assert metrics.main_key(variants) == expected


@pytest.mark.parametrize(
    ("baseline", "others", "passes", "fails"),
    [
        pytest.param(metric(value=0.9), [0.95], 0.89, 0.8899, id="a point of a share"),
        pytest.param(
            metric("perplexity", 30.0, lower_is_better=True), [31.0], 30.3, 30.31, id="1 % of a perplexity"
        ),
        pytest.param(metric("psnr", 30.0), [29.0], 29.7, 29.69, id="1 % of a PSNR against labels"),
        pytest.param(
            metric("psnr", math.inf, against=ORIGINAL), [50.0], 40.0, 39.9, id="40 dB against the original"
        ),
    ],
)
def test_bar(baseline: Metric, others: list[float], passes: float, fails: float) -> None:
    every = [baseline, *(metric(baseline.name, each) for each in others if baseline.name == "top1")]
    bar = metrics.bar(baseline, "float32", every)
    assert bar is not None
    assert bar.passed_by(passes)
    assert not bar.passed_by(fails)


@pytest.mark.parametrize(
    "baseline",
    [
        pytest.param(metric("mse", 0.0, against=ORIGINAL, lower_is_better=True), id="an error of 0"),
        pytest.param(metric("fid", math.inf, lower_is_better=True), id="an infinite one"),
    ],
)
def test_no_bar(baseline: Metric) -> None:
    assert metrics.bar(baseline, "float32", [baseline]) is None


def test_metrics_of_an_agent_and_a_coordinator_that_say_one_only() -> None:
    found = metrics.metrics_of(full())
    assert [each.key for each in found] == [
        ("top1", LABELS, DEVICE),
        ("top1", LABELS, COORDINATOR),
        ("agreement", ORIGINAL, COORDINATOR),
    ]
    assert found[0].ci95 == (0.9, 0.98)
    assert found[1].ci95 is None


def test_metrics_of_all_that_are_told() -> None:
    response = full()
    response.device_metrics.extend(
        [
            variant_pb2.Quality(metric="top1", value=0.96, samples=100, against="labels"),
            variant_pb2.Quality(metric="ece", value=0.1, samples=100, against="labels", lower_is_better=True),
            variant_pb2.Quality(unscored_reason="damaged"),
            variant_pb2.Quality(metric="broken", value=math.nan, samples=100),
        ]
    )
    on_device = [each for each in metrics.metrics_of(response) if each.place == DEVICE]
    assert [(each.name, each.lower_is_better) for each in on_device] == [("top1", False), ("ece", True)]


def test_nothing_measured_has_the_coordinators_metrics_only() -> None:
    assert {each.place for each in metrics.metrics_of(nothing_measured())} == {COORDINATOR}


def difference(
    variant: list[Metric], baseline: list[Metric], key: tuple[str, str, str] = TOP1
) -> differences.Difference:
    found = differences.difference(variant, baseline, key)
    assert found is not None
    return found


def test_a_difference_by_the_intervals_of_both() -> None:
    """Worked by hand: d = -0.1, lower half hypot(0.03, 0.01), upper hypot(0.02, 0.02)."""
    found = difference([metric(value=0.8, ci95=(0.77, 0.82))], [metric(value=0.9, ci95=(0.88, 0.91))])
    assert found.value == pytest.approx(-0.1)
    assert found.ci95 == pytest.approx((-0.1 - math.hypot(0.03, 0.01), -0.1 + math.hypot(0.02, 0.02)))
    assert found.outcome == differences.WORSE


def test_agreement_narrows_what_two_shares_can_differ_by() -> None:
    """At most 2 % are chosen differently: 1.96 sqrt(0.02 / 1000) = 0.0088, where 0.025 follows from both."""
    variant = [metric(value=0.9, ci95=(0.88, 0.915)), agreement(0.985, ci95=(0.98, 0.99))]
    baseline = [metric(value=0.905, ci95=(0.885, 0.92)), agreement(1.0, ci95=(0.996, 1.0))]
    found = difference(variant, baseline)
    assert found.ci95 == pytest.approx((-0.005 - 0.00877, -0.005 + 0.00877), abs=1e-4)
    assert found.outcome == differences.CANNOT_TELL


@given(
    n=st.integers(50, 2000),
    right=st.floats(0, 1),
    flips=st.integers(0, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_that_interval_always_holds_the_difference_of_the_samples(
    n: int, right: float, flips: int, seed: int
) -> None:
    flips = min(flips, n)
    variant = [metric(value=right, samples=n), agreement(1 - flips / n, samples=n)]
    baseline = [metric(value=right, samples=n), agreement(1.0, samples=n)]
    low, high = difference(variant, baseline).ci95 or (math.nan, math.nan)
    assert low <= 0 <= high
    assert (low == high == 0) == (flips == 0)


def test_the_same_choices_are_the_same_quality() -> None:
    variant = [metric(value=0.9, ci95=(0.88, 0.915)), agreement(1.0, ci95=(0.996, 1.0))]
    assert difference(variant, variant).outcome == differences.SAME


def test_perplexities_by_the_ratio_over_the_same_windows() -> None:
    def of(value: float, ratio: float, low: float, high: float) -> list[Metric]:
        return [
            metric("perplexity", value, ci95=(value * 0.8, value * 1.2), lower_is_better=True),
            metric("perplexity_ratio", ratio, ci95=(low, high), against=ORIGINAL, lower_is_better=True),
        ]

    key = ("perplexity", LABELS, DEVICE)
    found = difference(of(33.0, 1.1, 1.08, 1.12), of(30.0, 1.0, 1.0, 1.0), key)
    assert found.ci95 == pytest.approx((2.4, 3.6))
    assert found.outcome == differences.WORSE
    # A baseline that is not the original says nothing of the ratio to it: their own intervals decide.
    lossy = difference(of(33.0, 1.1, 1.08, 1.12), of(31.5, 1.05, 1.04, 1.06), key)
    assert lossy.outcome == differences.CANNOT_TELL


def test_infinite_values_have_no_difference() -> None:
    one, other = [metric("psnr", math.inf)], [metric("psnr", 40.0)]
    assert differences.difference(one, other, ("psnr", LABELS, DEVICE)) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.972, "0.9720"),
        (0.0, "0.0000"),
        (0.00012, "0.00012"),
        (31.416, "31.42"),
        (123456.0, "123,456"),
        (37.0, "37.00"),
        (1234.5, "1,234"),
        (-2.5, "\N{MINUS SIGN}2.500"),
        (math.inf, "∞"),
    ],
)
def test_human(value: float, text: str) -> None:
    assert metrics.human(value) == text


@pytest.mark.parametrize(
    ("value", "share", "text"),
    [
        (-0.0123, True, "\N{MINUS SIGN}1.2 points"),
        (0.0001, True, "+0.01 points"),
        (0.0, True, "0 points"),
        (2.7, False, "+2.7"),
        (-0.0657, False, "\N{MINUS SIGN}0.0657"),
    ],
)
def test_a_difference_in_words(value: float, share: bool, text: str) -> None:
    one = differences.Difference(value=value, ci95=None, lower_is_better=False)
    assert differences.human(one, share=share) == text
