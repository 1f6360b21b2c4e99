"""The demo's trainer, run as the demo runs it, on shapes that are easily told apart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow]

TRAINER = "edgemeter_converters.demo_net"


def bars(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise, and a bright bar whose height in the image is the label."""
    random = np.random.RandomState(seed)
    images = random.randint(0, 60, (samples, 28, 28, 1)).astype(np.uint8)
    labels = random.randint(0, 10, samples)
    for image, label in zip(images, labels, strict=True):
        image[label * 2 + 4] = 255
    return images, labels


def test_it_learns_and_writes_a_model_that_loads(tmp_path: Path) -> None:
    x_train, y_train = bars(1000, 1)
    x_test, y_test = bars(200, 2)
    data, out = tmp_path / "bars.npz", tmp_path / "bars.keras"
    np.savez(data, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    done = subprocess.run(
        [sys.executable, "-m", TRAINER, "--data", data, "--out", out, "--epochs", "3"],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *epochs, last = map(json.loads, done.stdout.splitlines())
    assert [(line["epoch"], line["epochs"]) for line in epochs] == [(1, 3), (2, 3), (3, 3)]
    assert last["accuracy"] > 0.9
    assert last["accuracy"] == epochs[-1]["accuracy"]
    assert last["parameters"] > 10_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bars.keras", "bars.npz"]

    # Uncompiled, of built-in layers only: what safe mode loads.
    probe = (
        "import keras, numpy as np, sys; net = keras.saving.load_model(sys.argv[1], safe_mode=True);"
        "data = np.load(sys.argv[2]); given = net.predict(data['x_test'].astype('float32'), verbose=0);"
        "print((given.argmax(1) == data['y_test']).mean(), net.compiled)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", probe, out, data], capture_output=True, text=True, timeout=240
    )
    assert loaded.returncode == 0, loaded.stderr[-2000:]
    accuracy, compiled = loaded.stdout.split()
    assert float(accuracy) == pytest.approx(last["accuracy"], abs=1e-4)
    assert compiled == "False"


def test_importing_it_imports_no_framework() -> None:
    code = f"import sys, {TRAINER}; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
