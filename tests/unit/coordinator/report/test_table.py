"""Rows compare with their device's baseline; what was not measured shows as that."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgemeter_coordinator.report import table
from edgemeter_protos.v1 import result_pb2
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
    assert [(row.device, row.recipe, row.size_ratio, row.p50_ratio) for row in rows] == [
        ("pi-a", "float32@tflite", 1.0, 1.0),
        ("pi-a", "int8@tflite", 0.25, 0.5),
        ("pi-b", "float32@tflite", 1.0, 1.0),
        ("pi-b", "int8@tflite", 0.25, 0.25),
    ]


def test_nothing_is_compared_without_a_baseline() -> None:
    (row,) = table.rows([full("int8@tflite")])
    assert row.size_ratio is None
    assert row.p50_ratio is None


def test_what_was_not_measured_is_none() -> None:
    base, row = table.rows([full(), nothing_measured()])
    assert base.p50_ns == 1000.0
    assert (row.p50_ns, row.p50_ratio, row.load_ns, row.peak_rss_bytes, row.quality_device) == (None,) * 5
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
        for figure in (table.human_bytes(row.size_bytes), table.human_ns(row.p50_ns), "0.9600"):
            assert figure in text
    assert "throttled" in text
    # What is left out is said.
    assert ("no room for" in text) == (" load " not in text)


def test_at_120_columns_nothing_is_left_out() -> None:
    (row, *_) = many()
    assert "no room for" not in shown([row], 120)


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


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (None, "-"),
        (0, "0 ns"),
        (999, "999 ns"),
        (1000, "1.00 µs"),
        (42_700, "42.7 µs"),
        (999_600, "1.00 ms"),  # not 1000 µs
        (123_456_789, "123 ms"),
        (61e9, "61.0 s"),
        (1e13, "10000 s"),  # no unit is larger
    ],
)
def test_durations(duration_ns: float | None, text: str) -> None:
    assert table.human_ns(duration_ns) == text


@pytest.mark.parametrize(("size_bytes", "text"), [(17, "17 B"), (93_100, "93.1 kB"), (8_927_660, "8.93 MB")])
def test_sizes(size_bytes: int, text: str) -> None:
    assert table.human_bytes(size_bytes) == text
