"""One net twice, in Keras (NHWC) and in torch (NCHW), with the same weights: alike through every format."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from edgemeter_coordinator.sdk import settings
from edgemeter_coordinator.sdk.lab import Lab
from edgemeter_protos.v1 import lab_pb2
from tests.desk import Desk, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_tensorflow,
    pytest.mark.needs_torch,
    pytest.mark.timeout(900),
]

FLOAT32 = ("float32@tflite", "float32@onnx", "float32@executorch", "float32@torchscript", "float32@pt2")
INT8 = ("int8@tflite", "int8@onnx", "int8@executorch")
ONLY_TORCH = ("int8@torchscript",)

ORIGINALS_DIFFER_AT_MOST = 1e-4
"""Logits of a few units, added up in another order."""
INT8_AGREES_AT_LEAST = 0.97
SHORT: dict[str, Any] = {
    "processes": 1,
    "blocks": 2,
    "block_min_duration_ns": 20_000_000,
    "warmup_min_duration_ns": 20_000_000,
}

TWINS = '''
"""The net in both frameworks. Run as a script: trains it with Keras on stripes.npz, and compares the two."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

HERE = Path(__file__).parent


class Twin(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.norm = nn.BatchNorm2d(16, eps=1e-3)
        self.pointwise = nn.Conv2d(16, 24, 1)
        self.inner = nn.Conv2d(24, 24, 3, padding=1)
        self.scores = nn.Linear(24, 3)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.first(x / 255.0)), 2)
        x = functional.relu(self.norm(self.depthwise(x)))
        x = functional.relu(self.pointwise(x))
        x = functional.relu(x + self.inner(x))
        return self.scores(x.mean((2, 3)))


def net():
    with np.load(HERE / "weights.npz") as kept:
        weights = {name: torch.from_numpy(kept[name]) for name in kept}
    module = Twin()
    module.load_state_dict(weights, strict=False)
    return module.eval(), (torch.zeros(1, 1, 12, 12),)


def keras_net():
    from keras import Input, Model, layers

    pixels = Input((12, 12, 1))
    x = layers.Rescaling(1 / 255)(pixels)
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="first")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9, name="norm")(x))
    x = layers.Conv2D(24, 1, activation="relu", name="pointwise")(x)
    x = layers.ReLU()(layers.Add()([x, layers.Conv2D(24, 3, padding="same", name="inner")(x)]))
    return Model(pixels, layers.Dense(3, name="scores")(layers.GlobalAveragePooling2D()(x)))


def as_torch(trained):
    """Torch has a convolution's kernel as (out, in, height, width), Keras as (height, width, in, out)."""
    weights = {}
    for name in ("first", "pointwise", "inner"):
        layer = trained.get_layer(name)
        weights[f"{name}.weight"] = np.array(layer.kernel).transpose(3, 2, 0, 1)
        weights[f"{name}.bias"] = np.array(layer.bias)
    weights["depthwise.weight"] = np.array(trained.get_layer("depthwise").kernel).transpose(2, 3, 0, 1)
    norm = trained.get_layer("norm")
    weights |= {"norm.weight": norm.gamma, "norm.bias": norm.beta}
    weights |= {"norm.running_mean": norm.moving_mean, "norm.running_var": norm.moving_variance}
    scores = trained.get_layer("scores")
    weights |= {"scores.weight": np.array(scores.kernel).T, "scores.bias": scores.bias}
    return {name: np.ascontiguousarray(value) for name, value in weights.items()}


def main():
    import keras

    keras.utils.set_random_seed(3)
    with np.load(HERE / "stripes.npz") as data:
        x_train, y_train, x_test = (data[name] for name in ("x_train", "y_train", "x_test"))
    twin = keras_net()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    twin.compile(optimizer=keras.optimizers.Adam(0.01), loss=loss)
    twin.fit(x_train, y_train, batch_size=32, epochs=5, verbose=0)
    twin.save(HERE / "keras_twin.keras")
    np.savez(HERE / "weights.npz", **as_torch(twin))
    theirs = np.array(twin(x_test.astype(np.float32)))
    with torch.no_grad():
        ours = net()[0](torch.from_numpy(x_test.astype(np.float32).transpose(0, 3, 1, 2))).numpy()
    assert (theirs.argmax(1) == ours.argmax(1)).all()
    print(np.abs(theirs - ours).max())


if __name__ == "__main__":
    main()
'''


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, material: Path) -> Path:
    """The folder with twins.py, keras_twin.keras, the weights and stripes.npz."""
    folder = tmp_path_factory.mktemp("twins")
    (folder / "twins.py").write_text(TWINS)
    (folder / "stripes.npz").write_bytes((material / "stripes.npz").read_bytes())
    trained = subprocess.run(
        [sys.executable, folder / "twins.py"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert trained.returncode == 0, trained.stderr[-2000:]
    assert float(trained.stdout) <= ORIGINALS_DIFFER_AT_MOST
    return folder


@pytest.fixture(scope="module")
def results(
    tmp_path_factory: pytest.TempPathFactory, twins: Path
) -> Iterator[dict[str, dict[str, lab_pb2.ListResultsResponse]]]:
    """What came of every recipe, of "keras" and of "torch", measured on one board."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    try:
        _serve(desk, twins)
        desk.join()
        desk.attend()
        desk.ok(f"edgemeter model add {twins / 'keras_twin.keras'} --name keras")
        desk.ok("edgemeter model add twins:net --name torch --preprocess layout=nchw")
        desk.ok(f"edgemeter data add {twins / 'stripes.npz'}")
        configuration = desk.folder / "config" / "edgemeter" / "config.toml"
        with Lab(settings.resolve(environ={"EDGEMETER_CONFIG": str(configuration)})) as lab:
            studies = {
                "keras": lab.bench("keras", "stripes", recipes=(*FLOAT32, *INT8), profile="quick", **SHORT),
                "torch": lab.bench(
                    "torch", "stripes", recipes=(*FLOAT32, *INT8, *ONLY_TORCH), profile="quick", **SHORT
                ),
            }
            for study in studies.values():
                last = study.wait(800)
                errors = [each.error for each in last.variants if each.error]
                assert study.state == "completed", (errors, [job.detail for job in last.jobs])
            yield {
                name: {response.manifest.recipe: response for response in study.responses()}
                for name, study in studies.items()
            }
    finally:
        desk.finish()


def _serve(desk: Desk, code: Path) -> None:
    """As Desk.serve, with leave to run the code in that folder."""
    process = desk.start(
        f"env PYTHONPATH={code} edgemeter serve --host 127.0.0.1 --port {desk.port}"
        f" --fleet-port {desk.fleet_port} --advertise 127.0.0.1 --state-dir {desk.folder / 'coordinator'}"
        " --allow-code twins",
        "serve.log",
    )

    def answers() -> bool:
        assert process.poll() is None, desk.log("serve.log")
        return desk.run("edgemeter device ls --json").returncode == 0

    until("the coordinator answers", answers)


Results = Mapping[str, Mapping[str, lab_pb2.ListResultsResponse]]


@pytest.mark.parametrize("recipe", FLOAT32)
def test_float32_is_the_original_in_every_format(results: Results, recipe: str) -> None:
    keras, torch = (results[name][recipe] for name in ("keras", "torch"))
    assert keras.manifest.quality.value > 0.9
    for twin in (keras, torch):
        # The originals choose alike for every sample, and so does whatever agrees with one on all of them.
        assert twin.manifest.agreement.value == 1
        assert twin.manifest.agreement.samples == 200
        assert twin.manifest.quality.value == keras.manifest.quality.value
        assert twin.device_quality.value == keras.manifest.quality.value


@pytest.mark.parametrize("recipe", [*INT8, *ONLY_TORCH])
def test_int8_is_as_good_in_every_format(results: Results, recipe: str) -> None:
    for rows in results.values():
        if recipe not in rows:
            continue
        manifest = rows[recipe].manifest
        float32 = rows["float32@tflite"].manifest.quality
        assert float32.ci95_low <= manifest.quality.value <= float32.ci95_high
        assert manifest.agreement.value >= INT8_AGREES_AT_LEAST


def test_every_recipe_came_back(results: Results) -> None:
    assert set(results["keras"]) == {*FLOAT32, *INT8}
    assert set(results["torch"]) == {*FLOAT32, *INT8, *ONLY_TORCH}
