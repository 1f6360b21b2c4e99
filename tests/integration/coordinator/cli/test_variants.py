"""Models, recipes and variants as the command line shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.desk import Desk

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow]

RECIPES = "--recipe float32 --recipe 'prune(0.5,epochs=1)' --recipe 'prune(0.5,epochs=1)+int8'"


@pytest.fixture(scope="module")
def variants(office: Desk) -> dict[str, dict[str, Any]]:
    """By recipe, those that one study built."""
    office.ok(f"edgemeter bench stripes --data stripes {RECIPES} --profile quick --set blocks=1")
    listed: list[dict[str, Any]] = office.json("edgemeter variant ls --model stripes")
    assert [each["state"] for each in listed] == ["ready"] * 3
    return {each["recipe"]: each for each in listed}


def test_a_plan_is_priced(office: Desk) -> None:
    line = "edgemeter bench stripes --data stripes --recipe float32 --recipe int8 --dry-run"
    priced = office.json(line)
    assert priced["id"] == ""
    assert [each["recipe"] for each in priced["variants"]] == ["float32@tflite", "int8@tflite"]
    said = office.ok(line)
    assert "int8@tflite" in said
    assert "about" in said


def test_a_variant_tells_all(office: Desk, variants: dict[str, dict[str, Any]]) -> None:
    pruned = variants["prune(0.5,epochs=1)@tflite"]
    shown = office.json(f"edgemeter variant show {pruned['id'][:8]}")
    assert shown == pruned
    manifest = shown["manifest"]
    assert 0.4 < manifest["sparsity"] < 0.6
    assert manifest["bits_per_weight"] == 8 * manifest["size_bytes"] / manifest["parameters"]
    assert manifest["compressed_size_bytes"] < manifest["size_bytes"]
    assert manifest["quality"]["ci95"][0] <= manifest["quality"]["value"] <= manifest["quality"]["ci95"][1]
    assert manifest["agreement"]["n"] == 200
    assert manifest["output_error"]["sqnr_db"] > 0
    assert manifest["stages"][0]["step"] == "prune(0.5,epochs=1)"
    assert manifest["tool_versions"]["keras"]
    text = office.ok(f"edgemeter variant show {pruned['id']}")
    for said in ("sparsity", "bits per weight", "SQNR", "prune(0.5,epochs=1)", "litert", "built again"):
        assert said in text, said


def test_a_variant_is_built_again(office: Desk, variants: dict[str, dict[str, Any]]) -> None:
    again = office.json(f"edgemeter variant rebuild {variants['float32@tflite']['id']}")
    assert again["same"]
    assert again["earlier"]["deterministic"]
    assert again["rebuilt"]["artifact_digest"] == variants["float32@tflite"]["manifest"]["artifact_digest"]


def test_layers_are_compared(office: Desk, variants: dict[str, dict[str, Any]]) -> None:
    layers = office.json(f"edgemeter variant layers {variants['prune(0.5,epochs=1)+int8@tflite']['id']}")
    assert {"CONV_2D", "FULLY_CONNECTED"} <= {layer["kind"] for layer in layers}
    assert "largest error" in office.ok(
        f"edgemeter variant layers {variants['prune(0.5,epochs=1)+int8@tflite']['id']}"
    )


def test_a_model_is_shown_with_what_suits_it(office: Desk) -> None:
    shown = office.json("edgemeter model show stripes")
    assert shown["macs"] == 80976
    assert {"kind": "Conv2D", "count": 2, "parameters": 1248} in shown["layers"]
    applies = {each["recipe"]: each["applies"] for each in shown["recipes"]}
    assert applies["int8@tflite"]
    assert not all(applies.values())
    text = office.ok("edgemeter model show stripes")
    for said in ("multiply-accumulates", "Conv2D", "suits it", "int8", "tflite, onnx", "does not", "why"):
        assert said in text, said
    assert "there is no model" in office.refused("edgemeter model show strpes")


def test_a_recipe_is_shown_with_its_arguments(office: Desk) -> None:
    shown = office.json("edgemeter recipe show prune")
    assert {each["name"]: each["usual"] for each in shown["parameters"]}["epochs"] == "3"
    assert shown["needs_training"]
    text = office.ok("edgemeter recipe show prune")
    for said in ("argument", "epochs", "training samples", "tflite", "example:"):
        assert said in text, said
    assert "'prune'" in office.refused("edgemeter recipe show prun")


def test_a_model_may_be_given_its_preprocessing(office: Desk, material: Path) -> None:
    added = office.json(
        f"edgemeter model add {material / 'stripes.tflite'} --name halved --preprocess scale=0.5,mean=0,std=1"
    )
    assert added["preprocessing"] == ["scale=0.5,mean=0.0,std=1.0"]
    # Of the same file another is made, as long as nothing is built of it.
    again = office.json(f"edgemeter model add {material / 'stripes.tflite'} --preprocess scale=0.25")
    assert (again["known"], again["name"], again["preprocessing"]) == (True, "halved", ["scale=0.25"])
    said = office.refused(f"edgemeter model add {material / 'stripes.tflite'} --preprocess scale=none")
    assert "scale has 'none'" in said
    said = office.refused("edgemeter model add torch.nn:Identity")
    assert "--allow-code" in said
