"""The page of one result: every number with its doubt, and no zero for what was not measured."""

from __future__ import annotations

import pytest

from edgemeter_coordinator.report import export
from edgemeter_protos.report.detail import TOP_OPERATORS, sections
from edgemeter_protos.v1 import lab_pb2, result_pb2
from tests.unit.coordinator.report.measured import measured, void_energy, writes_text
from tests.unit.coordinator.report.responses import full, nothing_measured


def page(response: lab_pb2.ListResultsResponse) -> dict[str, str]:
    """Title to its lines."""
    (one,) = export.exported([response])
    return {section.title: "\n".join(section.lines) for section in sections(one)}


def test_everything_is_said() -> None:
    shown = page(measured())
    expected = {
        "verdict": ["degraded", "pi-a (Pi 5)", "litert 2.3.0 on CPU (XNNPACK)", "others ran"],
        "quality": ["0.9600 (0.9000 to 0.9800) over 100 samples", "0.9700"],
        "latency": [
            "server, 256 timed samples",
            "500 ns (95 % over processes: 495 ns to 510 ns)",
            "at most 520 ns by early stopping",
            "880 ns (95 %: 700 ns to no upper end), too few queries for an early-stopping bound",
            "1,960 samples/s (95 %: 1,950 to 1,970)",
            "120 ns a query, not subtracted",
        ],
        "serving": ["1,200, 1,199 queries/s", "p99 under 10.0 ms: held", "7 queries", "not held"],
        "against the baseline": ["faster", "float32@tflite: 0.500x", "0.470 to 0.530", "12 pairs"],
        "cold start": ["5.00 ms, at most 9.00 ms", "5 fresh processes"],
        "energy": [
            "2.00 mJ ± 80.0 µJ (±4.0%)",
            "5.00 mJ ± 100 µJ",
            "4 kept, 1 voided (meter_gap 1); 52,000 inferences in 50.0 s",
            "ina3221 (ina3221), covers module, 98.7 readings/s, by trapezoid, the interior of windows",
            "gain 1.0030, offset 2.50 mW",
            "repeats 33.0 µJ, gain 15.0 µJ, resolution 500 nJ (one",
            "900 mW (not in the total)",
            "1.2 % of a processor",
        ],
        "memory": ["46.0 MB", "4.00 MB", "65.5 kB (the interpreter's arena)"],
        "operators": ["node0  [CPU]", "2 more operators", "ONNX Runtime's profiler, 20 queries"],
        "sustained": [
            "10 min; p50 1.00 µs at first, 1.50 µs at last",
            "after 4.00 s: the board said",
            "in 2 of 5",
        ],
        "conditions": ["4 kept, 1 voided (contention 1)", "power mode 25W, then 15W", "no sensor"],
    }
    assert set(expected) <= set(shown)
    for title, texts in expected.items():
        for text in texts:
            assert text in shown[title], (title, text, shown[title])


def test_the_course_is_drawn_and_its_turn_marked() -> None:
    lines = page(measured())["sustained"].splitlines()
    (latency,) = (index for index, line in enumerate(lines) if "latency" in line)
    assert "▁▁▁██" in lines[latency]
    # Under the fourth of five.
    assert lines[latency + 1].index("^") == lines[latency].index("▁") + 3
    (temperature,) = (line for line in lines if "temperature" in line)
    assert "52.0 °C to 80.0 °C" in temperature
    # One interval has none.
    assert temperature.split("52.0")[0].rstrip().count(" ") > lines[latency].split("1.00")[0].rstrip().count(
        " "
    )


def test_as_many_operators_as_are_told() -> None:
    lines = page(measured())["operators"].splitlines()
    assert sum("Conv" in line for line in lines) == TOP_OPERATORS
    assert [line for line in lines if "more operators" in line] == ["  14 %  2 more operators"]


@pytest.mark.parametrize(
    ("energy", "line"),
    [
        pytest.param(
            result_pb2.Energy(status=result_pb2.ENERGY_STATUS_NO_METER, detail="no meter on this board"),
            "not measured: no meter on this board",
            id="no meter",
        ),
        pytest.param(
            result_pb2.Energy(status=result_pb2.ENERGY_STATUS_NO_METER),
            "not measured: no meter on this board",
            id="no meter, of an agent that does not say why",
        ),
        pytest.param(
            result_pb2.Energy(
                status=result_pb2.ENERGY_STATUS_NOT_ASKED, detail="the plan asks for no energy"
            ),
            "not measured: the plan asks for no energy",
            id="not asked",
        ),
        pytest.param(
            result_pb2.Energy(), "not measured: the agent said nothing of it", id="an agent that says nothing"
        ),
    ],
)
def test_no_energy_is_one_line_and_no_zero(energy: result_pb2.Energy, line: str) -> None:
    assert page(measured(energy=energy))["energy"] == line


def test_a_void_reading_is_evidence_and_says_so() -> None:
    shown = page(void_energy())["energy"]
    assert "void" in shown
    assert "meter_stuck voided 5" in shown
    assert "gross                 4.00 mJ" in shown
    assert "net, an inference     not measured" in shown


def test_nothing_measured_has_no_number_but_the_coordinators() -> None:
    shown = page(nothing_measured())
    assert shown["latency"] == "not measured"
    assert "golden_mismatch" in shown["verdict"]
    assert shown["memory"].count("not measured") == 4
    assert shown["cold start"].count("not measured") == 2
    assert "serving" not in shown
    assert "sustained" not in shown
    assert "against the baseline" not in shown
    for title in ("latency", "cold start", "energy", "memory"):
        assert " 0 " not in f" {shown[title]} ", title


def test_an_earlier_agents_result_has_its_percentiles() -> None:
    assert "p99                   1.20 µs" in page(full())["latency"]


def test_operators_that_could_not_be_had_say_why() -> None:
    profile = result_pb2.OperatorProfile(unavailable="litert's wheel has no profiler")
    assert page(measured(operators=profile))["operators"] == "not measured: litert's wheel has no profiler"


def test_a_board_that_held_out() -> None:
    steady = result_pb2.Sustained(duration_ns=10**9, first_p50_ns=5, last_p50_ns=5)
    shown = page(measured(sustained=steady))["sustained"]
    assert "slowed down           no" in shown
    assert "power                 not measured" in shown


def test_cannot_tell_is_an_answer() -> None:
    unclear = result_pb2.Comparison(
        baseline_variant_id="id-float32@tflite",
        ratio=0.99,
        ci95_low=0.9,
        ci95_high=1.1,
        p_value=0.4,
        outcome=result_pb2.OUTCOME_CANNOT_TELL,
        pairs=12,
    )
    assert page(measured(comparison=unclear))["against the baseline"].startswith("cannot tell")


def test_a_text_is_told_by_its_first_token_and_those_after_it() -> None:
    shown = page(writes_text())
    for said in (
        "12 generations: 64 tokens given, 48 written",
        "300 ms (95 %: 290 ms to 310 ms)",
        "350 ms (95 %: 320 ms to no upper end)",
        "46 tokens/s (95 % over processes: 45 to 47)",
        "213 tokens/s",
    ):
        assert said in shown["text"], shown["text"]
    assert "each a whole generation" in shown["latency"]
    assert "first generation" in shown["cold start"]
    assert "net, a token" in shown["energy"]
    assert "52,000 tokens in 50.0 s" in shown["energy"]
    assert "text" not in page(measured())
