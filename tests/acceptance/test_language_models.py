"""A language model the whole way: a GGUF and a text in, speed and perplexity of its variants out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

from tests import tiny_llama
from tests.desk import Desk

pytestmark = [pytest.mark.slow, pytest.mark.needs_torch]

TEXT = Path(__file__).parents[2] / "docs" / "measuring.md"

RECIPES = ["float32@gguf", "q8_0@gguf", "int4@onnx-genai"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("language"))
    tiny_llama.write_gguf(tiny_llama.weights(), desk.folder / "tiny.gguf")
    (desk.folder / "text.txt").write_text(TEXT.read_text())
    try:
        desk.serve()
        desk.join()
        desk.attend()
        desk.ok("edgemeter model add tiny.gguf --name tiny")
        desk.ok("edgemeter data add text.txt --tokenizer tiny --name text")
        yield desk
    finally:
        desk.finish()


@pytest.fixture(scope="module")
def rows(desk: Desk) -> list[dict[str, Any]]:
    recipes = " ".join(f"--recipe {recipe}" for recipe in RECIPES)
    benched: list[dict[str, Any]] = desk.json(
        f"edgemeter bench tiny --data text {recipes} --device rack=a --name first --profile quick"
        " --set blocks=2 --set block_min_duration=20ms --set settle_timeout_ns=0 --set max_voided_blocks=0"
    )
    return benched


def test_perplexity_is_the_same_on_both_sides(rows: list[dict[str, Any]]) -> None:
    assert [row["recipe"] for row in rows] == RECIPES
    for row in rows:
        quality = row["quality"]
        assert quality["metric"] == "perplexity"
        assert quality["n"] == 16 * 255
        assert quality["value"] == pytest.approx(quality["coordinator_value"], rel=0.01)
    float32, q8_0, int4 = (row["quality"]["value"] for row in rows)
    # What is rounded more is farther from the original.
    assert abs(q8_0 - float32) < abs(int4 - float32)


def test_speed_is_of_generations(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        speed = row["text_speed"]
        assert (speed["prompt_tokens"], speed["new_tokens"]) == (64, 48)
        assert speed["generations"] == row["latency"]["n"] >= 6
        assert row["plan"]["block_min_queries"] == 3
        assert 0 < speed["ttft_p50_ns"] < row["latency"]["p50_ns"]
        low, high = speed["decode_ci95"]
        assert low <= speed["decode_tokens_per_s"] <= high
        assert {reason["code"] for reason in row["verdict"]["reasons"]}.isdisjoint(
            {"golden_mismatch", "load_failed", "query_failed", "evaluation_failed", "no_runtime"}
        )
    assert rows[0]["runtime"].startswith("llama.cpp ")
    assert rows[2]["runtime"].startswith("onnxruntime-genai ")


def test_details_are_of_a_text(rows: list[dict[str, Any]], desk: Desk) -> None:
    assert rows
    details = desk.ok("edgemeter result show first q8_0@gguf")
    assert "time to first token" in details
    assert "48 written" in details


def test_batches_are_refused_in_a_line(desk: Desk) -> None:
    line = desk.refused(
        "edgemeter bench tiny --data text --recipe float32 --device rack=a --scenario offline --batch 4"
    )
    assert line.endswith("use single-stream, not offline")


def test_an_adapter_is_downloaded(desk: Desk) -> None:
    desk.ok(
        "edgemeter bench tiny --data text --recipe 'lora(2,steps=2)+q8_0@gguf' --device rack=a"
        " --profile quick --set blocks=1 --set block_min_duration=20ms --set settle_timeout_ns=0"
        " --set max_voided_blocks=0"
    )
    (made,) = [each for each in desk.json("edgemeter variant ls") if each["recipe"].startswith("lora")]
    (adapter,) = made["manifest"]["attachments"]
    line = f"edgemeter variant download {made['id'][:12]}"
    written = desk.json(f"{line} --attachment {adapter['name']} -o adapter.safetensors")
    assert (written["file"], written["digest"]) == ("adapter.safetensors", adapter["digest"])
    content = (desk.folder / "adapter.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == adapter["digest"]
    assert len(content) == written["size_bytes"] == adapter["size_bytes"]
    # Two low-rank matrices a layer.
    names = safetensors.numpy.load(content)
    assert {name.rpartition(".lora_")[2] for name in names} == {"A.weight", "B.weight"}
    assert desk.ok(f"{line} -o variant.gguf") == ""
    with (desk.folder / "variant.gguf").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == made["manifest"]["artifact_digest"]
    refused = desk.refused(f"{line} --attachment none -o none.bin")
    assert f"has no attachment 'none': it has {adapter['name']} (" in refused
    assert not (desk.folder / "none.bin").exists()
    assert "cannot write " in desk.refused(f"{line} -o nowhere/variant.gguf")
