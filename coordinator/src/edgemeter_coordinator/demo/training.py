"""The demo's model: trained in a process of its own, and only when what it is made from has changed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import Any

from edgemeter_coordinator.sdk import atomic_file
from edgemeter_coordinator.sdk.errors import EdgemeterError

TRAINER = "edgemeter_converters.demo_net"
EPOCHS = 10
SEED = 1

EpochProgress = Callable[[int, int, float], None]
"""Called with the epochs done, the epochs in all, and the accuracy on the evaluation digits."""


def inputs_digest(data: Path) -> str:
    """Of all that the trained model follows from: data, code, numbers, framework."""
    spec = util.find_spec(TRAINER)
    if spec is None or spec.origin is None:
        raise EdgemeterError(f"{TRAINER} is not installed: the demo needs the package edgemeter-converters")
    digest = hashlib.sha256()
    for path in (data, Path(spec.origin)):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(f"epochs {EPOCHS} seed {SEED} keras {metadata.version('keras')}".encode())
    return digest.hexdigest()


def known(data: Path, model: Path) -> dict[str, Any] | None:
    """The note on `model`, where that is the very file that was made from the same inputs; else None."""
    try:
        note: dict[str, Any] = json.loads(note_path(model).read_text(encoding="utf-8"))
        matches = (
            note["inputs_sha256"] == inputs_digest(data)
            and note["model_sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return note if matches else None


def note_path(model: Path) -> Path:
    """Beside the model: what it was made from."""
    return model.with_suffix(".json")


def train(data: Path, model: Path, *, log: Path, progress: EpochProgress) -> dict[str, Any]:
    """Trains the net on `data` and writes `model` and its note, which is returned. Raises EdgemeterError."""
    inputs_sha256 = inputs_digest(data)
    command = [sys.executable, "-m", TRAINER, "--data", str(data), "--out", str(model)]
    command += ["--epochs", str(EPOCHS), "--seed", str(SEED)]
    last: dict[str, Any] = {}
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as trainer,
    ):
        try:
            assert trainer.stdout is not None
            for line in trainer.stdout:
                if not line.startswith("{"):
                    continue
                last = json.loads(line)
                if "epoch" in last:
                    progress(last["epoch"], last["epochs"], last["accuracy"])
        except BaseException:
            trainer.kill()
            raise
    if trainer.returncode != 0 or "parameters" not in last:
        raise EdgemeterError(f"the training ended with {trainer.returncode}: see {log}")
    note = {
        "inputs_sha256": inputs_sha256,
        "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "accuracy": last["accuracy"],
        "parameters": last["parameters"],
    }
    atomic_file.write_text(note_path(model), json.dumps(note, indent=2) + "\n")
    return note
