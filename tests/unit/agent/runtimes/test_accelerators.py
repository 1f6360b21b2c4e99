"""What can be asked for, from files and a driver that tests lay out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from edgemeter_agent.board.facts import read_facts
from edgemeter_agent.runtimes import NULL, RUNTIMES, LoadOptions, Package, arena_detail, kind, loader
from edgemeter_agent.runtimes.accelerators import ONNX_LIBRARIES, TORCH_LIBRARY, available
from edgemeter_agent.runtimes.onnx_providers import FORMS

CUDA, TENSORRT = ONNX_LIBRARIES["cuda"], ONNX_LIBRARIES["tensorrt"]


@pytest.mark.parametrize(
    ("runtime", "files", "devices", "there"),
    [
        ("onnxruntime", [], 1, ["cpu"]),
        ("onnxruntime", [CUDA], 1, ["cpu", "cuda", "cuda+cpu"]),
        (
            "onnxruntime",
            [CUDA, TENSORRT],
            2,
            ["cpu", "cuda", "cuda+cpu", "tensorrt", "tensorrt+cuda", "tensorrt+cuda+cpu"],
        ),
        # built with CUDA, on a machine without a device
        ("onnxruntime", [CUDA, TENSORRT], 0, ["cpu"]),
        ("torch", [], 1, ["cpu"]),
        ("torch", [TORCH_LIBRARY], 1, ["cpu", "cuda"]),
        ("torch", [TORCH_LIBRARY], 0, ["cpu"]),
        ("litert", [], 1, ["xnnpack", "cpu"]),
        ("tflite-runtime", [], 0, ["xnnpack", "cpu"]),
        ("executorch", [], 0, ["xnnpack", "cpu"]),
        ("llama.cpp", [], 1, ["cpu"]),
        ("onnxruntime-genai", [], 1, ["cpu"]),
    ],
)
def test_what_a_runtime_has(
    runtime: str,
    files: Sequence[str],
    devices: int,
    there: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = tmp_path / "edgemeter_made_up"
    for name in ("__init__.py", *files):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert (
        available(replace(kind(runtime), packages=(Package(package.name, ("made-up",)),)), lambda: devices)
        == there
    )
    assert package.name not in sys.modules


def test_what_can_be_asked_of_onnx_is_what_its_loader_knows() -> None:
    for asked in FORMS:
        assert asked == "cpu" or asked.split("+")[0] in ONNX_LIBRARIES


def test_a_runtime_that_is_not_here_has_the_processor_at_most() -> None:
    assert available(
        replace(kind("torch"), packages=(Package("edgemeter_absent", ("absent",)),)), lambda: 1
    ) == ["cpu"]
    assert available(NULL) == []


def test_telling_imports_no_runtime_and_no_numpy() -> None:
    code = (
        "import sys; from edgemeter_agent.runtimes import RUNTIMES;"
        "from edgemeter_agent.runtimes.accelerators import available;"
        "print([available(each)[0] for each in RUNTIMES]);"
        "print([name for name in ('numpy', 'torch', 'onnxruntime', 'executorch', 'ik_llama_cpp')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "['xnnpack', 'xnnpack', 'cpu', 'xnnpack', 'cpu', 'cpu', 'cpu']",
        "[]",
    ], done.stderr


def test_a_boards_facts_tell_them() -> None:
    told = {runtime.name: list(runtime.accelerators) for runtime in read_facts().runtimes}
    assert told == {name: available(kind(name)) for name in told}
    assert all(told.values())


def test_every_runtime_says_what_its_arena_is_or_why_it_has_none() -> None:
    for runtime in (*RUNTIMES, NULL):
        assert len(arena_detail(runtime)) > 20


def test_the_empty_runtime_takes_any_options() -> None:
    model = loader(NULL)("", LoadOptions(threads=4, batch_size=8, accelerator="cuda"))
    model.query()
    assert model.ran_on == "nothing"
    assert model.arena_bytes() is None
