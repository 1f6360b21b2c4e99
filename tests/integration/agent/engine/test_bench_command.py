"""`edgemeter-agent bench` and `doctor` as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

QUICK = ["--blocks", "2", "--min-queries", "20", "--min-duration", "0.02"]


def typed(*arguments: str) -> subprocess.CompletedProcess[str]:
    # the script beside the interpreter: what the distribution installs
    command = str(Path(sys.executable).parent / "edgemeter-agent")
    return subprocess.run([command, *arguments], capture_output=True, text=True, timeout=200)


@pytest.mark.needs_tensorflow
def test_models_are_measured_together(models: Any, tmp_path: Path) -> None:
    paths = [models.path("float32"), models.path("int8")]
    done = typed("bench", *paths, *QUICK, "--json", "--samples-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    # no bar where the error stream is no terminal
    assert done.stderr == ""
    documents = json.loads(done.stdout)
    assert [one["model"] for one in documents] == ["float32.tflite", "int8.tflite"]
    for number, document in enumerate(documents):
        with np.load(tmp_path / f"samples-{number}.npz", allow_pickle=False) as samples:
            assert document["latency"]["p50_ns"] in samples["latency_ns"]
        assert document["runtime"].split()[0] == "litert"
        assert document["size_bytes"] == Path(paths[number]).stat().st_size


@pytest.mark.needs_tensorflow
def test_a_file_that_cannot_be_loaded_is_one_line_and_the_others_are_measured(
    models: Any, tmp_path: Path
) -> None:
    whole = Path(models.path("int8")).read_bytes()
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(whole[: len(whole) // 3])
    done = typed("bench", models.path("float32"), str(cut), *QUICK)
    assert done.returncode == 1
    assert done.stderr.startswith("edgemeter-agent: cut.tflite: ")
    assert done.stderr.count("\n") == 1
    assert "float32.tflite" in done.stdout


def test_doctor() -> None:
    done = typed("doctor", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {"litert"} <= {one["name"] for one in document["runtimes"]}
    assert {one["name"] for one in document["observables"]} >= {"latency", "energy", "contention"}
    assert "yes  litert" in typed("doctor").stdout
