"""A tiny language model in the files of both runtimes that write text."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests import tiny_llama


@pytest.fixture(scope="session")
def weights() -> dict[str, npt.NDArray[np.float32]]:
    return tiny_llama.weights()


@pytest.fixture(scope="session")
def gguf(weights: dict[str, npt.NDArray[np.float32]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama.write_gguf(weights, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="session")
def genai(weights: dict[str, npt.NDArray[np.float32]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The .zip of what ONNX Runtime GenAI's own builder makes, in float32."""
    folder = tmp_path_factory.mktemp("genai")
    source = tiny_llama.write_folder(weights, folder / "hf")
    built = folder / "built"
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    done = subprocess.run(
        [*builder, "-i", source, "-o", built, "-p", "fp32", "-e", "cpu", "-c", folder / "cache"],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    archive = folder / "tiny.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(built.iterdir()):
            packed.write(path, path.name)
    return archive


@pytest.fixture(scope="session")
def windows() -> npt.NDArray[np.int32]:
    return np.random.default_rng(3).integers(0, tiny_llama.VOCABULARY, (2, 256)).astype(np.int32)
