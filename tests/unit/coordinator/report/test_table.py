"""Rows compare with their device's baseline; what was not measured shows as that."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgemeter_coordinator.report import table
from edgemeter_protos.report import units
from edgemeter_protos.v1 import result_pb2
from tests.unit.coordinator.report.measured import measured, void_energy, writes_text
from tests.unit.coordinator.report.responses import full, nothing_measured


def shown(rows: list[table.Row], width: int = 240) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(table.render(rows, title="digits-1", width=width), crop=False)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_rows_compare_with_the_baseline_of_their_own_device() -> None:
    rows = table.rows(
        [
            full("int8@tflite", device="pi-b", p50_ns=300.0, size_bytes=250),
            full("float32@tflite", device="pi-b", p50_ns=1200.0),
            full("int8@tflite", device="pi-a", p50_ns=500.0, size_bytes=250),
            full("float32@tflite", device="pi-a", p50_ns=1000.0),
        ]
    )
    assert [(row.device, row.recipe, row.size_ratio, row.ratio) for row in rows] == [
        ("pi-a", "float32@tflite", 1.0, 1.0),
        ("pi-a", "int8@tflite", 0.25, 0.5),
        ("pi-b", "float32@tflite", 1.0, 1.0),
        ("pi-b", "int8@tflite", 0.25, 0.25),
    ]


def test_nothing_is_compared_without_a_baseline() -> None:
    (row,) = table.rows([full("int8@tflite")])
    assert row.size_ratio is None
    assert row.ratio is None


def test_what_was_not_measured_is_none() -> None:
    base, row = table.rows([full(), nothing_measured()])
    assert base.p50_ns == 1000.0
    assert (row.p50_ns, row.ratio, row.load_ns, row.peak_rss_bytes, row.quality_device) == (None,) * 5
    assert row.quality_coordinator == 0.97
    assert (row.verdict, row.verdict_codes) == ("void", ("golden_mismatch",))
    (last,) = (line for line in shown([base, row]).splitlines() if "int8" in line)
    assert "void (golden_mismatch)" in last
    assert last.count(table.NOT_MEASURED) >= 7


def test_the_device_is_named_where_there_are_several() -> None:
    one, other = full(device="pi-a"), full(device="pi-b")
    assert "pi-a" not in shown(table.rows([one]))
    assert "pi-b" in shown(table.rows([one, other]))


def many(device: str = "pi-a") -> list[table.Row]:
    """Figures as wide as they get, and a verdict that folds."""
    one = full("float32@tflite", device=device, p50_ns=142_700.0, size_bytes=193_100)
    reasons = [
        result_pb2.VerdictReason(code=code) for code in ("contention", "frequency_changed", "throttled")
    ]
    one.result.verdict.reasons.extend(reasons)
    other = full("prune-channels(0.3)+int8@tflite", device=device, p50_ns=42_700.0, size_bytes=93_100)
    return table.rows([one, other])


@pytest.mark.parametrize("width", [80, 90, 100, 110, 120, 160, 220])
def test_it_fits_the_terminal_and_cuts_no_number(width: int) -> None:
    rows = many()
    text = shown(rows, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for row in rows:
        # What says which variant to ship is always there, each in one piece.
        for figure in (units.human_bytes(row.size_bytes), units.human_ns(row.p50_ns), "0.9600"):
            assert figure in text
    assert "throttled" in text
    # What is left out is said.
    assert ("no room for" in text) == (" load " not in text)


def test_at_120_columns_what_decides_is_on_one_line() -> None:
    (line,) = (line for line in shown(table.rows([full(), measured()]), 120).splitlines() if "int8" in line)
    for figure in (
        "250 B",
        "0.9600",
        "500 ns ±1.5%",
        "0.50x (0.47-0.53)",
        "2.00 mJ ±4.0%",
        "50.0 MB",
        "4.00 MB",
    ):
        assert figure in line


def test_a_terminal_too_narrow_for_the_least_is_overrun_rather_than_cut() -> None:
    text = shown(many(), 40)
    assert "…" not in text
    assert "143 µs" in text
    assert "42.7 µs" in text


def test_formats_are_named_where_they_differ() -> None:
    alike = table.rows([full("float32@tflite"), full("int8@tflite")])
    assert shown(alike).count("@tflite") == 1
    differ = table.rows([full("float32@tflite"), full("int8@onnx")])
    assert "float32@tflite" in shown(differ)
    assert "int8@onnx" in shown(differ)


def test_columns_of_a_wide_table() -> None:
    text = shown(table.rows([full(), measured()]))
    assert "no room for" not in text
    assert "1,200" in text  # the rate that the server held
    assert "scenario: server" in text


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (result_pb2.OUTCOME_FASTER, "0.50x (0.47-0.53)"),
        (result_pb2.OUTCOME_SLOWER, "0.50x (0.47-0.53)"),
        (result_pb2.OUTCOME_CANNOT_TELL, "cannot tell"),
        (result_pb2.OUTCOME_UNSPECIFIED, "0.50x"),  # an agent that does not compare: of the two medians
    ],
)
def test_the_comparison_is_the_agents(outcome: result_pb2.Outcome.ValueType, said: str) -> None:
    response = measured()
    response.result.comparison.outcome = outcome
    line = shown(table.rows([full(), response])).splitlines()[-3]
    assert said in line
    assert ("(0.47" in line) == ("(" in said)


def test_a_narrow_terminal_puts_intervals_under_their_numbers() -> None:
    lines = shown(table.rows([full(), measured()]), 84).splitlines()
    assert max(map(len, lines)) <= 84
    (index,) = (number for number, line in enumerate(lines) if line.startswith("int8"))
    assert "0.50x" in lines[index]
    assert "0.47-0.53" in lines[index + 1]
    assert "±1.5%" in lines[index + 1]


def test_energy_is_net_with_its_uncertainty() -> None:
    (row,) = table.rows([measured()])
    assert (row.net_uj, row.net_half_uj) == (2000, 80)
    text = shown([row])
    assert "2.00 mJ ±4.0%" in text
    assert "not measured" not in text.replace("-: not measured", "")


def test_a_void_reading_is_no_number() -> None:
    text = shown(table.rows([full(), void_energy()]))
    (line,) = (line for line in text.splitlines() if line.startswith("int8"))
    assert "void" in line
    assert "mJ" not in line


def test_where_no_energy_was_read_one_line_says_why() -> None:
    text = shown(table.rows([full(), full("int8@tflite")]))
    assert "energy: not measured (no meter here)" in text
    assert "net/inf." not in text
    assert "0 µJ" not in text
    mixed = shown(table.rows([full(), measured()]))
    assert "energy: not measured" not in mixed
    assert "-: not measured" in mixed


def test_net_energy_without_idle_is_not_measured() -> None:
    response = measured()
    energy = response.result.energy
    energy.idle_before_mw = energy.idle_after_mw = energy.net_uj_per_inference = 0
    (row,) = table.rows([response])
    assert (row.net_uj, row.net_half_uj) == (None, None)


def test_a_text_has_its_first_token_and_its_rate() -> None:
    text = shown(table.rows([full(), writes_text()]))
    assert "300 ms" in text
    assert "46 ±2.2%" in text
    assert "net/token" in text
    header = text.splitlines()[1:4]
    assert any("first" in line for line in header)
    assert any("tokens" in line for line in header)
    plain = shown(table.rows([full(), measured()]))
    assert "tokens" not in plain
    assert "net/inf." in plain


def test_energy_of_tokens_and_inferences_is_only_net() -> None:
    text = shown(table.rows([measured(), writes_text()]))
    assert "net/" not in text
