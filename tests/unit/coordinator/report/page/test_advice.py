"""What to ship: verdicts, intervals and quality are respected, and what can't be told is said."""

from __future__ import annotations

import pytest

from edgemeter_coordinator.report.page.advice import (
    CANNOT_TELL,
    ENERGY,
    LATENCY,
    NONE,
    SHIP,
    SIZE,
    STAY,
    Advice,
    Choice,
    advise,
)
from edgemeter_coordinator.report.page.energy import Energy, energy_ratio
from edgemeter_coordinator.report.page.facts import Facts, compared, facts_of
from edgemeter_coordinator.report.page.metrics import Metric
from edgemeter_protos.against import ORIGINAL
from edgemeter_protos.v1 import result_pb2
from tests.unit.coordinator.report.page.studies import language, material, pictures


def share(value: float, name: str = "top1", half: float = 0.002, **fields: object) -> Metric:
    ci95 = (value - half, value + half)
    return Metric(name=name, value=value, samples=1000, ci95=ci95, **fields)  # type: ignore[arg-type]


def measured(net_uj: float, half_uj: float) -> Energy:
    return Energy(status="measured", why="", net_uj=net_uj, net_half_uj=half_uj)


def facts(recipe: str, **fields: object) -> Facts:
    usual: dict[str, object] = {
        "size_bytes": 1000,
        "verdict": "valid",
        "metrics": (share(0.9),),
        "p50_ns": 1000.0,
        "is_baseline": False,
        "energy": Energy(status="no_meter", why="no meter on this board"),
    }
    return Facts(recipe=recipe, **{**usual, **fields})  # type: ignore[arg-type]


BASE = facts("float32", is_baseline=True)
FASTER = {"outcome": "faster", "ratio": 0.5, "ratio_ci95": (0.48, 0.52), "p50_ns": 500.0}


def choice(advice: Advice, wanted: str) -> Choice:
    (found,) = (each for each in advice.choices if each.wanted == wanted)
    return found


def latency(*variants: Facts) -> Choice:
    return choice(advise(variants), LATENCY)


@pytest.mark.parametrize(
    ("variants", "answer", "recipe"),
    [
        pytest.param([BASE, facts("int8", **FASTER)], SHIP, "int8", id="surely faster"),
        pytest.param(
            [BASE, facts("int8", **FASTER, verdict="degraded")], SHIP, "int8", id="degraded is usable"
        ),
        pytest.param([BASE, facts("int8", **FASTER, verdict="void")], NONE, None, id="void is not"),
        pytest.param(
            [BASE, facts("int8", **FASTER, metrics=(share(0.889),))], STAY, "float32", id="too lossy"
        ),
        pytest.param([BASE, facts("int8", **FASTER, metrics=())], STAY, "float32", id="of unknown quality"),
        pytest.param(
            [BASE, facts("int8", outcome="cannot_tell", ratio=0.9)], CANNOT_TELL, "float32", id="cannot tell"
        ),
        pytest.param([BASE, facts("int8", outcome="slower", ratio=2.0)], STAY, "float32", id="slower"),
        pytest.param(
            [facts("float32", is_baseline=True, verdict="void"), facts("int8", **FASTER)],
            NONE,
            None,
            id="a void baseline compares with nothing",
        ),
        pytest.param([facts("int8", **FASTER)], NONE, None, id="the baseline is not there"),
        pytest.param([BASE], NONE, None, id="the baseline alone"),
        pytest.param(
            [facts("float32", is_baseline=True, p50_ns=None), facts("int8", p50_ns=None)],
            NONE,
            None,
            id="nothing was timed",
        ),
        pytest.param(
            [
                BASE,
                facts("int8", **FASTER),
                facts("pruned", **{**FASTER, "ratio": 0.3, "ratio_ci95": (0.29, 0.31)}),
            ],
            SHIP,
            "pruned",
            id="the fastest of two",
        ),
    ],
)
def test_least_latency(variants: list[Facts], answer: str, recipe: str | None) -> None:
    found = latency(*variants)
    assert (found.answer, found.recipe) == (answer, recipe)


def test_no_variant_at_all() -> None:
    assert {each.answer for each in advise([]).choices} == {NONE}


def test_a_tie_is_said() -> None:
    """Their intervals meet: which of the two is faster, nobody knows."""
    found = latency(
        BASE,
        facts("int8", **FASTER),
        facts("int8-b", **{**FASTER, "ratio": 0.51, "ratio_ci95": (0.5, 0.53)}),
        facts("float16", **{**FASTER, "ratio": 0.9, "ratio_ci95": (0.85, 0.95)}),
    )
    assert found.recipe == "int8"
    assert "Whether int8-b is as fast, the intervals cannot tell." in found.notes


def test_what_cannot_be_told_is_named() -> None:
    undecided = {"outcome": "cannot_tell", "ratio": 0.97}
    found = latency(BASE, facts("a", **undecided), facts("b", **undecided), facts("c", outcome="slower"))
    assert found.headline == "Stay with float32: nothing that is good enough is surely faster"
    assert found.notes == ("Whether a and b are better, the intervals cannot tell.",)


def test_what_quality_rules_out_is_named_with_what_it_loses() -> None:
    found = latency(
        BASE,
        facts("int8", **FASTER),
        facts("pruned", **{**FASTER, "ratio": 0.2, "metrics": (share(0.85),)}),
    )
    wanted = ("pruned would go further (0.20\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}5.0 points of top1")
    assert any(all(text in note for text in wanted) for note in found.notes)


@pytest.mark.parametrize(
    ("half", "sure"),
    [
        pytest.param(0.002, True, id="enough samples to be sure"),
        pytest.param(0.02, False, id="too few samples"),
    ],
)
def test_whether_the_samples_settle_it(half: float, sure: bool) -> None:
    base = facts("float32", is_baseline=True, metrics=(share(0.9, half=half),))
    found = latency(base, facts("int8", **FASTER, metrics=(share(0.898, half=half),)))
    assert found.recipe == "int8"
    assert any("1,000 samples cannot rule out" in note for note in found.notes) != sure


def test_a_degraded_verdict_is_said_with_its_reasons() -> None:
    found = latency(BASE, facts("int8", **FASTER, verdict="degraded", reasons=(("temperature", "hot"),)))
    assert "Its verdict is degraded: temperature." in found.notes


def test_void_variants_are_named_once() -> None:
    void = {"verdict": "void", "reasons": (("contention", ""), ("contention", "again"))}
    advice = advise([BASE, facts("a", **void), facts("b", **void), facts("c", verdict="void")])
    assert advice.notes == ("Void, and so never recommended: a, b (contention); c (no reason given).",)


def test_agreement_is_called_agreement() -> None:
    def of(value: float) -> tuple[Metric, ...]:
        return (share(value, "agreement", against=ORIGINAL),)

    advice = advise(
        [facts("float32", is_baseline=True, metrics=of(1.0)), facts("int8", **FASTER, metrics=of(0.995))]
    )
    assert "agreement, not quality: there are no labels" in advice.basis
    assert choice(advice, LATENCY).recipe == "int8"


def test_without_quality_it_is_said_that_there_is_none() -> None:
    advice = advise([facts("float32", is_baseline=True, metrics=()), facts("int8", **FASTER, metrics=())])
    assert advice.basis.startswith("No quality was measured")
    assert advice.bar is None
    assert choice(advice, LATENCY).recipe == "int8"


@pytest.mark.parametrize(
    ("energies", "answer", "recipe"),
    [
        pytest.param([(1000, 20), (500, 20)], SHIP, "int8", id="surely less"),
        pytest.param([(1000, 200), (900, 200)], CANNOT_TELL, "float32", id="within the uncertainty"),
        pytest.param([(1000, 20), (2000, 20)], STAY, "float32", id="more"),
        pytest.param([(1000, 20), None], NONE, None, id="the baseline alone was measured"),
        pytest.param([None, (500, 20)], NONE, None, id="the baseline was not"),
        pytest.param([(-5, 20), (500, 20)], NONE, None, id="a baseline below idle is no measure"),
    ],
)
def test_least_energy(energies: list[tuple[float, float] | None], answer: str, recipe: str | None) -> None:
    absent = Energy(status="no_meter", why="no meter")
    base, other = (measured(*each) if each else absent for each in energies)
    found = choice(
        advise([facts("float32", is_baseline=True, energy=base), facts("int8", energy=other)]), ENERGY
    )
    assert (found.answer, found.recipe) == (answer, recipe)


def test_why_there_is_no_energy() -> None:
    found = choice(advise([BASE, facts("int8")]), ENERGY)
    assert found.headline == "Energy was not measured: no meter on this board"


def test_energy_ratio_is_as_uncertain_as_both() -> None:
    """Worked by hand: 0.5 with hypot(5 %, 0.5 x 2 %) of the baseline's."""
    found = energy_ratio(measured(500, 50), measured(1000, 20))
    assert found is not None
    assert found[0] == 0.5
    assert found[1] == pytest.approx((0.5 - 0.05099, 0.5 + 0.05099), abs=1e-5)


@pytest.mark.parametrize(
    ("variants", "answer", "recipe"),
    [
        pytest.param([BASE, facts("int8", size_bytes=260)], SHIP, "int8", id="smaller"),
        pytest.param([BASE, facts("pruned", size_bytes=1000)], STAY, "float32", id="as large"),
        pytest.param([BASE, facts("int8", size_bytes=260, verdict="void")], NONE, None, id="void"),
        pytest.param(
            [BASE, facts("int8", size_bytes=260, metrics=(share(0.5),))], STAY, "float32", id="too lossy"
        ),
        pytest.param(
            [BASE, facts("int8", size_bytes=260, p50_ns=None)], SHIP, "int8", id="not timed, and no matter"
        ),
    ],
)
def test_smallest(variants: list[Facts], answer: str, recipe: str | None) -> None:
    found = choice(advise(variants), SIZE)
    assert (found.answer, found.recipe) == (answer, recipe)


def test_the_smallest_says_that_it_is_slower() -> None:
    found = choice(advise([BASE, facts("int8", size_bytes=260, outcome="slower", ratio=1.5)]), SIZE)
    assert "It is slower than the baseline: 1.50\N{MULTIPLICATION SIGN} its latency." in found.notes


def test_what_holds_of_a_variant_is_said_once() -> None:
    advice = advise([BASE, facts("int8", **FASTER, size_bytes=260, metrics=(share(0.899),))])
    notes = [note for each in advice.choices for note in each.notes]
    assert len(notes) == len(set(notes))
    assert sum("differs by" in note for note in notes) == 1


def test_pictures_with_a_meter() -> None:
    advice = advise(facts_of(material(pictures()).responses))
    assert [(each.wanted, each.recipe) for each in advice.choices] == [
        (LATENCY, "int8@tflite"),
        (ENERGY, "int8@tflite"),
        (SIZE, "int8@tflite"),
    ]
    assert advice.bar is not None
    assert advice.bar.words == "within 1 point (0.01) of float32@tflite's 0.9120"
    assert choice(advice, ENERGY).ratio == pytest.approx(4100 / 9000)


def test_a_language_model_by_its_perplexity() -> None:
    """q4_k_m is faster and smaller, and 8.65 % above f16's perplexity."""
    advice = advise(facts_of(material(language()).responses))
    assert [each.recipe for each in advice.choices] == ["q8_0@gguf", None, "q8_0@gguf"]
    assert advice.bar is not None
    assert advice.bar.words == "within 1 % of f16@gguf's 31.20"


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        pytest.param((900, 890, 910), (1000, 990, 1010), "faster", id="intervals apart"),
        pytest.param((1100, 1090, 1110), (1000, 990, 1010), "slower", id="apart, the other way"),
        pytest.param((1000, 900, 1100), (1050, 1040, 1060), "cannot_tell", id="intervals that meet"),
        pytest.param((1000, 0, 0), (1050, 1040, 1060), "cannot_tell", id="no interval"),
    ],
)
def test_where_the_agent_did_not_compare(
    mine: tuple[float, float, float], theirs: tuple[float, float, float], expected: str
) -> None:
    def result(p50: tuple[float, float, float]) -> result_pb2.Result:
        return result_pb2.Result(
            latency=result_pb2.Latency(samples=10, p50_ns=p50[0], ci95_low_ns=p50[1], ci95_high_ns=p50[2])
        )

    ratio, interval, outcome = compared(result(mine), result(theirs))
    assert ratio == pytest.approx(mine[0] / theirs[0])
    assert interval is None
    assert outcome == expected
