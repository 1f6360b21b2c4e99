"""torch and ExecuTorch on the agent: real small files beside what the torch module computes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.needs_torch, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[3]

CASES = {
    "residual/torchscript/float32": 1e-5,
    "residual/torchscript/int8": 0.05,
    "residual/pt2/float32": 1e-5,
    "residual/executorch/float32": 1e-5,
    "two/torchscript/float32": 1e-5,
    "two/pt2/float32": 1e-5,
    "two/executorch/float32": 1e-5,
    "tied/pt2/float32": 1e-5,
}
"""How far outputs may be off, as a share of their range."""

SUFFIXES = {"torchscript": ".pt", "pt2": ".pt2", "executorch": ".pte"}
RUNTIME = {"torchscript": "torch", "pt2": "torch", "executorch": "executorch"}

ASK = """
import json, sys
import numpy as np
from edgemeter_agent.engine.child import run_samples
from edgemeter_agent.runtimes import LoadOptions, kind, loader
assert "torch" not in sys.modules
told = {}
for case, runtime, path, data in json.loads(sys.argv[1]):
    model = loader(kind(runtime))(path, LoadOptions())
    with np.load(data) as arrays:
        inputs = [arrays[f"input_{at}"] for at in range(sum(name.startswith("input") for name in arrays))]
        wanted = [arrays[f"output_{at}"] for at in range(sum(name.startswith("output") for name in arrays))]
    got = run_samples(model, inputs, len(inputs[0]))
    refused = []
    for wrong in ([], inputs[:1] * 3, [each[:1, ..., :-1] for each in inputs]):
        try:
            model.prepare(wrong)
        except ValueError as error:
            refused.append(str(error))
    told[case] = {
        "error": max(float(np.abs(one - two).max() / np.abs(one).max()) for one, two in zip(wanted, got)),
        "outputs": len(got) == len(wanted),
        "float32": all(each.dtype == np.float32 for each in got),
        "inputs": [[spec.dtype, *spec.shape] for spec in model.signature.inputs],
        "refused": refused,
        "threads": sys.modules["torch"].get_num_threads() if runtime == "torch" else 1,
    }
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torch")
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.converters.make_torch_files", str(folder), *CASES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def told(files: Path) -> dict[str, dict[str, Any]]:
    asked = []
    for case in CASES:
        name, format_, precision = case.split("/")
        path = files / f"{name}-{precision}{SUFFIXES[format_]}"
        asked.append((case, RUNTIME[format_], str(path), str(files / f"{name}.npz")))
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(asked)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_the_modules(case: str, told: dict[str, Any]) -> None:
    answer = told[case]
    assert answer["error"] < CASES[case]
    assert answer["outputs"]
    assert answer["float32"]
    assert answer["threads"] == 1


@pytest.mark.parametrize("case", CASES)
def test_inputs_that_do_not_fit_are_refused(case: str, told: dict[str, Any]) -> None:
    assert len(told[case]["refused"]) == 3
    assert "takes shape" in told[case]["refused"][-1]


def test_signatures_come_with_the_files(told: dict[str, Any]) -> None:
    assert told["residual/torchscript/float32"]["inputs"] == [["float32", 1, 3, 12, 12]]
    assert told["two/executorch/float32"]["inputs"] == [["float32", 1, 6], ["float32", 1, 8]]
    assert told["tied/pt2/float32"]["inputs"] == [["int64", 1, 9]]


@pytest.mark.parametrize(("format_", "case"), [("torchscript", "residual"), ("executorch", "residual")])
def test_bench_measures_a_file_as_it_is(format_: str, case: str, files: Path) -> None:
    path = files / f"{case}-float32{SUFFIXES[format_]}"
    command = str(Path(sys.executable).parent / "edgemeter-agent")
    quick = ["--blocks", "2", "--min-queries", "10", "--min-duration", "0.01", "--json"]
    done = subprocess.run([command, "bench", str(path), *quick], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)[0]
    assert document["runtime"].split()[0] == RUNTIME[format_]
    assert document["latency"]["p50_ns"] > 0


def test_a_torchscript_from_elsewhere_is_asked_with_what_it_is_given(tmp_path: Path) -> None:
    code = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np, torch
from edgemeter_agent.runtimes import LoadOptions, kind, loader
torch.jit.save(torch.jit.script(torch.nn.Linear(3, 2)), sys.argv[1])
model = loader(kind("torch"))(sys.argv[1], LoadOptions())
assert not model.signature.inputs
try:
    model.prepare([])
except ValueError as error:
    print(error)
model.prepare([np.ones((1, 3), np.float32)])
model.query()
print(model.outputs()[0].shape)
np.savez(sys.argv[1] + ".npz", x=np.ones(3))
try:
    loader(kind("torch"))(sys.argv[1] + ".npz", LoadOptions())
except ValueError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "net.pt")], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [
        "a TorchScript tells nothing of its inputs, and none were given",
        "(1, 2)",
        "it is neither a TorchScript nor an exported program, or not the whole of one",
    ]
