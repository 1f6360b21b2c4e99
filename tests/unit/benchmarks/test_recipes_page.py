"""What docs/recipes.md says of a run."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from tests.benchmarks.recipes_page import (
    BEGIN,
    END,
    Model,
    Row,
    Share,
    claims,
    latency,
    model_of,
    page,
    table,
    written,
)
from tests.benchmarks.recipes_table import with_arguments


def row(
    recipe: str, *, p50_ns: float = 1e6, size: int = 1000, top1: float = 0.9, verdict: str = "valid"
) -> Row:
    return Row(
        recipe=recipe,
        size_bytes=size,
        compressed_bytes=size // 2,
        parameters=250,
        non_zero_parameters=240,
        macs=8_240_000,
        quality=Share(value=top1, low=top1 - 0.01, high=top1 + 0.01, samples=2000),
        agreement=Share(value=0.95, low=0.94, high=0.96, samples=2000),
        p50_ns=p50_ns,
        p50_ci_ns=(0.99 * p50_ns, 1.01 * p50_ns),
        verdict=verdict,
    )


BASE = row("float32@tflite")


def model(*rows: Row, name: str = "resnet") -> Model:
    return Model(name=name, about="A net.", rows=(BASE, *rows))


def held(*rows: Row, name: str = "resnet") -> list[bool | None]:
    return [claim.holds for claim in claims([model(*rows, name=name)])]


@pytest.mark.parametrize(
    ("p50_ns", "size", "expected"),
    [
        (0.5e6, 270, [True, True, True]),
        (0.51e6, 270, [False, True, True]),
        # Compressed to half of it: 136 of 500.
        (0.5e6, 272, [True, False, False]),
    ],
)
def test_int8_is_half_as_long_and_a_quarter_as_large(p50_ns: float, size: int, expected: list[bool]) -> None:
    assert held(row("int8@tflite", p50_ns=p50_ns, size=size)) == expected


def test_a_void_measurement_bears_nothing_out() -> None:
    assert held(row("int8@tflite", p50_ns=0.1e6, size=200, verdict="void")) == [None, True, True]


def test_a_variant_that_failed_is_named_with_its_reason() -> None:
    failed = Row(recipe="int8@tflite", failed="layer 'a' has no kernel")
    (claim,) = claims([model(failed)])
    assert claim.holds is None
    assert "layer 'a' has no kernel" in claim.text


@pytest.mark.parametrize(
    ("p50_ns", "top1", "expected"),
    [
        (1e6 / 1.31, 0.871, [True, True]),
        (1e6 / 1.29, 0.871, [False, True]),
        (1e6 / 1.31, 0.869, [True, False]),
    ],
)
def test_pruned_channels_are_faster_and_nearly_as_good(
    p50_ns: float, top1: float, expected: list[bool]
) -> None:
    assert held(row("prune-channels(0.3)@tflite", p50_ns=p50_ns, top1=top1), name="fashion") == expected


def test_what_was_not_fine_tuned_is_not_judged() -> None:
    bare = row("prune-channels(0.3,epochs=0)@tflite", p50_ns=0.5e6, top1=0.1)
    (told,) = claims([model(bare, name="fashion")])
    assert not told.judged
    assert "2.00 times as fast" in told.text


@pytest.mark.parametrize(
    ("p50_ns", "size", "expected"), [(0.95e6, 1000, True), (0.8e6, 1000, False), (1e6, 700, False)]
)
def test_pruning_gains_nothing_but_compression(p50_ns: float, size: int, expected: bool) -> None:
    assert held(row("prune(0.5)@tflite", p50_ns=p50_ns, size=size), name="fashion") == [expected]


def test_a_combination_is_not_taken_for_its_first_step() -> None:
    assert held(row("prune(0.5)+int8@tflite", p50_ns=1e5), name="fashion") == []


def test_cells() -> None:
    assert latency(row("a@b", p50_ns=1_234_000)) == "1.234 ms (1.222 to 1.246)"
    assert latency(replace(BASE, verdict="degraded")).startswith("1.000 ms\\* (")
    assert latency(replace(BASE, verdict="void", reservations=("contention",))) == "void (contention)"
    assert latency(replace(BASE, verdict="", p50_ns=None)) == "-"
    lines = table(model(row("int8@onnx", p50_ns=0.25e6), row("int8@tflite", p50_ns=0.5e6)))
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| `float32@tflite`",
        "| `int8@tflite`",
        "| `int8@onnx`",
    ]
    assert lines[3].endswith("| 90.0 % (89.0 to 91.0) | 95.0 % | 0.500 ms (0.495 to 0.505) | 0.50 |")
    assert {line.count("|") for line in lines} == {lines[0].count("|")}


def test_the_prose_stays_and_a_run_survives_json() -> None:
    models = [
        model(Row(recipe="w4a8@onnx", refused="no kernels"), Row(recipe="qat@onnx", refused="no kernels"))
    ]
    assert [model_of(asdict(each)) for each in models] == models
    run = {
        "date": "2026-11-22",
        "machine": "a board",
        "plan": "quick",
        "models": [asdict(each) for each in models],
    }
    first = page(f"# Title\n{BEGIN}\nold\n{END}\nmore\n", run)
    assert first == f"# Title\n{BEGIN}\n{written(run)}\n{END}\nmore\n"
    assert "- `w4a8@onnx`, `qat@onnx`: refused: no kernels" in first
    assert page(first, run) == first
    assert "degraded" not in first
    starred = replace(BASE, recipe="int8@tflite", verdict="degraded", reservations=("wide_interval",))
    assert "\\* [degraded](measuring.md#verdicts): `wide_interval` in 1 rows." in page(
        first, {**run, "models": [asdict(model(starred))]}
    )
    with pytest.raises(ValueError, match="Written by"):
        page("# Title\n", run)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("prune(0.5)@onnx", "prune(0.5,epochs=0)@onnx"),
        ("low-rank@onnx", "low-rank(epochs=0)@onnx"),
        ("distill(0.5)@pt2", "distill(0.5)@pt2"),
        ("int8@tflite", "int8@tflite"),
    ],
)
def test_what_has_nothing_to_learn_from_is_not_fine_tuned(recipe: str, expected: str) -> None:
    assert with_arguments(recipe, learns=False) == expected
    assert with_arguments(recipe, learns=True) == recipe
