"""Batches, accelerators and operators of torch and ExecuTorch, on files made for one sample and for many."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.needs_torch, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[3]

# torch stays out of the test's own process.
LOAD = """
import json, sys
import numpy as np
from edgemeter_agent.runtimes import LoadOptions, kind, loader
with np.load(sys.argv[1]) as arrays:
    samples, wanted = arrays["input_0"], arrays["output_0"]
told = []
for runtime, path, options in json.loads(sys.argv[2]):
    answer = {}
    try:
        model = loader(kind(runtime))(path, LoadOptions(**options))
        answer["shape"] = list(model.signature.inputs[0].shape) if model.signature.inputs else []
        answer["ran_on"], answer["arena"] = model.ran_on, model.arena_bytes()
        rows = options.get("batch_size", 1)
        model.prepare([samples[:rows]])
        model.query()
        (output,) = model.outputs()
        answer["error"] = float(np.abs(output - wanted[:rows]).max())
    except ValueError as error:
        answer["refused"] = str(error)
    told.append(answer)
print(json.dumps(told))
"""

CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    # what is asked, and what must be told
    "script": ("torch", "net.pt", {}, {"ran_on": "CPU", "arena": None}),
    "script of four": ("torch", "net.pt", {"batch_size": 4}, {}),
    "script on the processor": ("torch", "net.pt", {"accelerator": "cpu", "threads": 2}, {"ran_on": "CPU"}),
    "program": ("torch", "static.pt2", {}, {"shape": [1, 3, 32, 32]}),
    "dynamic program": ("torch", "dynamic.pt2", {}, {"shape": [-1, 3, 32, 32]}),
    "dynamic program of four": ("torch", "dynamic.pt2", {"batch_size": 4}, {"shape": [4, 3, 32, 32]}),
    "XNNPACK": ("executorch", "static.pte", {}, {"shape": [1, 3, 32, 32]}),
    "XNNPACK by name": ("executorch", "static.pte", {"accelerator": "xnnpack"}, {}),
    "dynamic": ("executorch", "dynamic.pte", {}, {"shape": [-1, 3, 32, 32]}),
    "dynamic of four": ("executorch", "dynamic.pte", {"batch_size": 4}, {"shape": [4, 3, 32, 32]}),
    "plain": ("executorch", "plain.pte", {"accelerator": "cpu"}, {"ran_on": "CPU (ExecuTorch's kernels)"}),
}

REFUSED: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "script that folds": (
        "torch",
        "folded.pt",
        {"batch_size": 4},
        "output 0 has shape [1, 12288] for a batch",
    ),
    "program for one": (
        "torch",
        "static.pt2",
        {"batch_size": 4},
        "exported with 'x' of [1, 3, 32, 32], and a batch of 4 was asked for",
    ),
    "program for eight": ("torch", "dynamic.pt2", {"batch_size": 9}, "exported for batches of 1 to 8 of 'x'"),
    "CUDA for torch": ("torch", "net.pt", {"accelerator": "cuda"}, "'cuda' was asked for, and this torch"),
    "no such for torch": ("torch", "net.pt", {"accelerator": "npu"}, "torch has no accelerator 'npu'"),
    "XNNPACK for one": ("executorch", "static.pte", {"batch_size": 4}, "is fixed at 1 samples"),
    "XNNPACK for eight": ("executorch", "dynamic.pte", {"batch_size": 9}, "planned for at most 8 samples"),
    "CUDA for ExecuTorch": (
        "executorch",
        "static.pte",
        {"accelerator": "cuda"},
        "ExecuTorch has no accelerator 'cuda'; there are xnnpack, cpu",
    ),
    "XNNPACK left out": (
        "executorch",
        "plain.pte",
        {"accelerator": "xnnpack"},
        "made for no delegate, and 'xnnpack' was asked for",
    ),
    "XNNPACK against the will": (
        "executorch",
        "static.pte",
        {"accelerator": "cpu"},
        "made for XNNPACK, and 'cpu' wants ExecuTorch's own kernels alone",
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torch-batches")
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.agent.make_torch_batches", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def answers(code: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def told(files: Path) -> dict[str, dict[str, Any]]:
    cases = {**CASES, **REFUSED}
    # ExecuTorch's threads are set for a process.
    asked = [(runtime, str(files / name), options) for runtime, name, options, _ in cases.values()]
    given = answers(LOAD, str(files / "samples.npz"), json.dumps(asked))
    return dict(zip(cases, given, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_what_a_file_was_made_for_runs(case: str, told: dict[str, dict[str, Any]]) -> None:
    answer = told[case]
    assert answer.get("refused") is None
    assert answer["error"] < 1e-4
    expected = CASES[case][3]
    assert {name: answer[name] for name in expected} == expected


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_was_not_made_for_is_refused(case: str, told: dict[str, dict[str, Any]]) -> None:
    refused = told[case]["refused"]
    assert REFUSED[case][3] in refused
    assert "\n" not in refused


def test_executorch_tells_its_planned_memory_and_where_it_ran(told: dict[str, dict[str, Any]]) -> None:
    assert told["XNNPACK"]["ran_on"].startswith("CPU (XNNPACK")
    # The plain program's plan holds the activations: two of 16 x 32 x 32 floats at once.
    assert told["plain"]["arena"] >= 2 * 16 * 32 * 32 * 4
    # A delegate's memory is its own: what is planned is what goes in and out.
    assert 0 < told["XNNPACK"]["arena"] < told["plain"]["arena"]
    assert told["dynamic"]["arena"] > told["XNNPACK"]["arena"]


PROFILE = """
import json, sys
from pathlib import Path
import numpy as np
from google.protobuf import json_format
from edgemeter_agent.runtimes import LoadOptions, operators
with np.load(sys.argv[1]) as arrays:
    sample = arrays["input_0"][:1]
told = {}
for runtime, path, batch in json.loads(sys.argv[2]):
    profile = operators.profile(runtime, path, LoadOptions(batch_size=batch), [sample], 20, Path(sys.argv[3]))
    told[Path(path).name] = json_format.MessageToDict(
        profile, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
print(json.dumps(told))
"""

PROFILED = (
    ("torch", "net.pt", 1),
    ("torch", "dynamic.pt2", 2),
    ("executorch", "static.pte", 1),
    ("executorch", "plain.pte", 1),
)


@pytest.fixture(scope="module")
def profiles(files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    work_dir = tmp_path_factory.mktemp("work")
    asked = [(runtime, str(files / name), batch) for runtime, name, batch in PROFILED]
    told: dict[str, dict[str, Any]] = answers(
        PROFILE, str(files / "samples.npz"), json.dumps(asked), str(work_dir)
    )
    assert not list(work_dir.iterdir())
    return told


@pytest.mark.parametrize("name", [name for _, name, _ in PROFILED])
def test_shares_add_up_and_operators_are_most_of_a_query(name: str, profiles: dict[str, Any]) -> None:
    profile = profiles[name]
    assert profile["unavailable"] == ""
    assert profile["queries"] == 20
    operators = profile["operators"]
    assert sum(each["share"] for each in operators) == pytest.approx(1, abs=1e-6)
    times = [each["ns_per_query"] for each in operators]
    assert times == sorted(times, reverse=True)
    assert 0.2 * profile["query_ns"] < sum(times) < 1.5 * profile["query_ns"]


def test_torchs_operators_are_the_networks(profiles: dict[str, Any]) -> None:
    for name in ("net.pt", "dynamic.pt2"):
        calls = {each["kind"]: each["calls_per_query"] for each in profiles[name]["operators"]}
        assert (calls["_convolution"], calls["relu"], calls["linear"], calls["mean"]) == (2, 2, 1, 1)
        assert {each["ran_on"] for each in profiles[name]["operators"]} == {"CPU"}
        assert profiles[name]["source"] == "torch.profiler"


def test_executorchs_kernels_are_the_networks(profiles: dict[str, Any]) -> None:
    operators = profiles["plain.pte"]["operators"]
    kinds = Counter(each["kind"] for each in operators)
    assert (kinds["convolution.out"], kinds["relu.out"], kinds["mean.out"], kinds["addmm.out"]) == (
        2,
        2,
        1,
        1,
    )
    assert {each["ran_on"] for each in operators} == {"ExecuTorch's kernels"}
    assert all(each["calls_per_query"] == 1 for each in operators)
    assert operators[0]["kind"] == "convolution.out"


def test_a_delegates_operators_are_told_one_by_one(profiles: dict[str, Any]) -> None:
    operators = profiles["static.pte"]["operators"]
    inside = [each["kind"].partition(" ")[0] for each in operators if each["ran_on"] == "XNNPACK"]
    assert inside.count("Convolution") == 2
    assert {each["kind"] for each in operators if each["ran_on"] != "XNNPACK"} == {"mean.out"}
    assert all(each["calls_per_query"] == 1 for each in operators)
