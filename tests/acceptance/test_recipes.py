"""Recipes as a user types them: what they make, what is told of it, and what is refused in one line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.desk import Desk

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow, pytest.mark.needs_torch]

PRUNED = "prune(0.5,epochs=1)"
STUDY = ("float32", "int8", PRUNED, f"{PRUNED}+int8", "prune-channels(0.3,epochs=2)+int8", "int8@onnx")

PICKLE = """
import sys, torch
torch.save(torch.nn.Linear(2, 2), sys.argv[1])
"""


@pytest.fixture(scope="module")
def traps(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that must be refused, and data with one fault each."""
    folder = tmp_path_factory.mktemp("traps")
    done = subprocess.run(
        [sys.executable, "-c", PICKLE, folder / "pickled.pt"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(material / "stripes.npz") as stripes:
        arrays = dict(stripes)
    floats = {**arrays, "x_test": arrays["x_test"].astype(np.float32)}
    holed, wild = arrays["x_train"].astype(np.float32), arrays["x_train"].astype(np.float32)
    holed[7, 0, 0, 0] = np.nan
    np.savez(folder / "nan.npz", **{**floats, "x_train": holed})
    # Finite, and more than a float32 can hold once it is multiplied.
    wild[7] = 3e38
    np.savez(folder / "wild.npz", **{**floats, "x_train": wild})
    np.savez(folder / "one-class.npz", **{**arrays, "y_train": np.zeros_like(arrays["y_train"])})
    np.savez(folder / "texts.npz", **{**arrays, "x_train": np.array([["a"]] * 600)})
    np.savez(folder / "overlap.npz", **{**arrays, "x_test": arrays["x_train"][:200]})
    return folder


@pytest.fixture(scope="module")
def variants(office: Desk) -> dict[str, Any]:
    """What one study made, by recipe."""
    recipes = " ".join(f"--recipe '{recipe}'" for recipe in STUDY)
    office.ok(
        f"edgemeter bench stripes --data stripes {recipes} --device all --profile quick --name made", 600
    )
    listed = office.json("edgemeter variant ls --model stripes")
    return {each["recipe"]: office.json(f"edgemeter variant show {each['id']}") for each in listed}


def manifest(variants: dict[str, Any], recipe: str) -> Any:
    assert variants[recipe]["state"] == "ready", variants[recipe]
    return variants[recipe]["manifest"]


def test_every_recipe_was_built_and_measured(office: Desk, variants: dict[str, Any]) -> None:
    study = office.study("made")
    assert study["state"] == "completed", study
    assert {each["recipe"] for each in study["variants"]} == set(variants)


def test_pruning_is_counted_in_the_file(variants: dict[str, Any]) -> None:
    whole, pruned = manifest(variants, "float32@tflite"), manifest(variants, "prune(0.5,epochs=1)@tflite")
    assert pruned["parameters"] == whole["parameters"]
    # Biases, a handful, are not pruned.
    assert 0.48 < pruned["non_zero_parameters"] / whole["parameters"] < 0.55
    # A plain file stores its zeros.
    assert pruned["size_bytes"] == whole["size_bytes"]
    assert pruned["compressed_size_bytes"] < 0.8 * whole["compressed_size_bytes"]


def test_recipes_that_begin_alike_train_once(variants: dict[str, Any]) -> None:
    stages = [
        manifest(variants, recipe)["stages"]
        for recipe in ("prune(0.5,epochs=1)@tflite", "prune(0.5,epochs=1)+int8@tflite")
    ]
    assert [len(each) for each in stages] == [1, 1]
    assert stages[0][0]["duration_ns"] == stages[1][0]["duration_ns"]
    assert sorted(each[0]["reused"] for each in stages) == [False, True]
    assert stages[0][0]["epochs"] == 1


def test_fewer_channels_are_fewer_multiplications(variants: dict[str, Any]) -> None:
    whole = manifest(variants, "float32@tflite")
    thin = manifest(variants, "prune-channels(0.3,epochs=2)+int8@tflite")
    assert thin["macs"] < 0.75 * whole["macs"]
    assert thin["parameters"] < 0.75 * whole["parameters"]


def test_a_variant_tells_its_quality_and_its_distance_from_the_original(variants: dict[str, Any]) -> None:
    int8 = manifest(variants, "int8@tflite")
    assert int8["quality"]["metric"] == "top1"
    assert int8["quality"]["n"] == 200
    low, high = int8["quality"]["ci95"]
    assert low < int8["quality"]["value"] <= high
    assert int8["agreement"]["value"] > 0.95
    assert 20 < int8["output_error"]["sqnr_db"] < 80
    assert int8["conversion_peak_rss_bytes"] > 100_000_000
    assert int8["seed"] == 0
    assert int8["deterministic"] is True
    assert "tensorflow" in int8["tool_versions"]


def test_the_same_file_comes_out_again(office: Desk, variants: dict[str, Any]) -> None:
    again = office.json(f"edgemeter variant rebuild {variants['int8@tflite']['id']}")
    assert again["same"] is True
    assert again["rebuilt"]["artifact_digest"] == manifest(variants, "int8@tflite")["artifact_digest"]


def test_layers_tell_where_quality_is_lost(office: Desk, variants: dict[str, Any]) -> None:
    layers = office.json(f"edgemeter variant layers {variants['int8@tflite']['id']}")
    assert len(layers) >= 3
    assert all(each["sqnr_db"] is None or each["sqnr_db"] > 10 for each in layers)


def test_a_second_study_is_priced_before_it_is_made(office: Desk, variants: dict[str, Any]) -> None:
    priced = office.json(
        "edgemeter bench stripes --data stripes --device all --dry-run --recipe int8"
        f" --recipe '{PRUNED}+dynamic'"
    )
    int8, pruned = priced["variants"]
    assert int8["state"] == "ready"
    assert (pruned["state"], pruned["reused_steps"]) == ("waiting", PRUNED)


def test_a_model_tells_what_it_is_made_of_and_what_suits_it(office: Desk) -> None:
    shown = office.json("edgemeter model show stripes")
    # 10*10*8*9 + 8*8*16*72 + 16*3.
    assert shown["macs"] == 7200 + 73728 + 48
    assert {each["kind"]: each["count"] for each in shown["layers"]}["Conv2D"] == 2
    recipes = {each["recipe"]: each for each in shown["recipes"]}
    assert recipes["prune(0.5)@tflite"]["applies"]
    assert all(each["applies"] or each["reason"] for each in shown["recipes"])


# What is wrong: the command, and what its one line must say.
REFUSALS = {
    "steps that can't be combined": (
        "bench stripes --data stripes --recipe prune(0.5)+low-rank(0.5)",
        "'low-rank' would undo|would undo what 'prune' did",
    ),
    "two encodings": ("bench stripes --data stripes --recipe int8+float16", "can't be combined"),
    "a ratio out of range": (
        "bench stripes --data stripes --recipe prune(1.5)",
        r"'sparsity' is 1\.5.*0 and 1",
    ),
    "an unknown argument": ("bench stripes --data stripes --recipe int8(kep=a)", r"'kep'.*'keep'"),
    "a format without the encoding": ("bench stripes --data stripes --recipe w4a8@onnx", "w4a8@onnx"),
    "a framework that has no way": (
        "bench {m}/stripes.tflite --data stripes --recipe prune(0.5)",
        r"'prune' changes the network.*TFLite",
    ),
    "a pickle": ("model add {t}/pickled.pt", r"pickle.*torch\.(export|jit)"),
    "code that nobody allowed": ("model add os.path:join", r"--allow-code os"),
    "NaN in the data": ("data add {t}/nan.npz", r"NaN.*sample 7"),
    "one class": ("data add {t}/one-class.npz", "class"),
    "texts for numbers": ("data add {t}/texts.npz", "x_train"),
    "splits that overlap": ("data add {t}/overlap.npz", "200.*evaluation|evaluation.*200"),
}


@pytest.mark.parametrize("mistake", REFUSALS)
def test_one_clear_line(office: Desk, material: Path, traps: Path, mistake: str) -> None:
    line, says = REFUSALS[mistake]
    studies, datasets = office.json("edgemeter study ls"), office.json("edgemeter data ls")
    device = " --device all" if line.startswith("bench") else ""
    line = re.sub(r"--recipe (\S+)", r"--recipe '\1'", line)
    message = office.refused(f"edgemeter {line.format(m=material, t=traps)}{device}")
    assert re.search(says, message), message
    assert office.json("edgemeter study ls") == studies
    assert office.json("edgemeter data ls") == datasets


def test_a_fine_tuning_that_diverges_fails_its_variant_alone(office: Desk, traps: Path) -> None:
    done = office.run(
        f"edgemeter bench stripes --data {traps / 'wild.npz'} --recipe float32"
        " --recipe 'prune(0.5,epochs=2)' --device all --profile quick --name diverged",
        600,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    states = {each["recipe"]: each for each in office.study("diverged")["variants"]}
    assert states["float32@tflite"]["state"] == "ready"
    failed = states["prune(0.5,epochs=2)@tflite"]
    assert failed["state"] == "failed"
    assert re.search(r"diverged.*lr=", failed["error"]), failed


def test_a_layer_that_is_not_there_is_named(office: Desk) -> None:
    office.run(
        "edgemeter bench stripes --data stripes --recipe 'int8(keep=head*)' --device all --profile quick"
        " --name missing",
        600,
    )
    (variant,) = office.study("missing")["variants"]
    assert variant["state"] == "failed"
    assert re.search(r"keep=head\*: .*no such layer.*conv2d", variant["error"]), variant
