"""ONNX Runtime's choice of providers: its loader over an onnxruntime that tests lay out."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgemeter_agent.runtimes import LoadedModel, LoadOptions
from edgemeter_agent.runtimes.onnx import loader
from edgemeter_agent.runtimes.onnx_providers import FORMS, check_taken, ran_on, wanted_providers

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

FALLEN = (
    "[ONNXRuntimeError] : 1 : FAIL : This session contains graph nodes that are assigned to the default CPU"
    " EP, but fallback to CPU EP has been explicitly disabled by the user."
)
"""What onnxruntime 1.31 raises."""


@dataclass
class Board:
    """A machine with providers that start or don't, and a model whose nodes some of them take."""

    offered: list[str]
    starting: list[str]
    nodes: dict[str, int] = field(default_factory=dict)
    tells_nodes: bool = True
    settings: Any = None
    asked: dict[str, Any] = field(default_factory=dict)
    ran: int = 0
    fall_back_disabled: bool = False


class Settings:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class Session:
    """As far as the loader uses it: the processor is registered always and takes what others leave."""

    def __init__(self, board: Board, settings: Settings, providers: list[str]) -> None:
        self._board = board
        self._providers = [name for name in providers if name in board.starting]
        if CPU not in self._providers:
            self._providers.append(CPU)
        strict = settings.entries.get("session.disable_cpu_ep_fallback") == "1"
        if strict and CUDA in self._providers and board.nodes.get(CPU):
            raise RuntimeError(FALLEN)
        if board.tells_nodes:
            self.get_provider_graph_assignment_info = lambda: [
                SimpleNamespace(ep_name=name, get_nodes=lambda count=count: [None] * count)
                for name, count in board.nodes.items()
            ]

    def get_providers(self) -> list[str]:
        return self._providers

    def disable_fallback(self) -> None:
        self._board.fall_back_disabled = True

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x", type="tensor(float)", shape=["batch", 3])]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="y", type="tensor(float)", shape=["batch", 3])]

    def run(self, names: list[str], feed: dict[str, Any]) -> list[Any]:
        self._board.ran += 1
        return [feed["x"] * 2]


def load(board: Board, monkeypatch: pytest.MonkeyPatch, **options: Any) -> LoadedModel:
    def session(_path: str, settings: Settings, **asked: Any) -> Session:
        board.settings, board.asked = settings, asked
        return Session(board, settings, asked["providers"])

    package = ModuleType("edgemeter_made_up_onnxruntime")
    package.__dict__.update(
        SessionOptions=Settings, InferenceSession=session, get_available_providers=lambda: board.offered
    )
    monkeypatch.setitem(sys.modules, package.__name__, package)
    return loader(package.__name__)("model.onnx", LoadOptions(**options))


def jetson(**changes: Any) -> Board:
    made: dict[str, Any] = {"offered": [TENSORRT, CUDA, CPU], "starting": [TENSORRT, CUDA, CPU], **changes}
    return Board(**made)


@pytest.mark.parametrize(
    ("accelerator", "nodes", "providers", "told"),
    [
        ("", {}, [CPU], CPU),
        ("cpu", {}, [CPU], CPU),
        ("cuda", {CUDA: 12}, [CUDA], CUDA),
        ("cuda+cpu", {CUDA: 10, CPU: 2}, [CUDA, CPU], f"{CUDA} (10 of 12 nodes), {CPU} (2 of 12 nodes)"),
        # allowed to, but nothing fell
        ("cuda+cpu", {CUDA: 12}, [CUDA, CPU], CUDA),
        ("tensorrt", {TENSORRT: 1}, [TENSORRT], TENSORRT),
        (
            "tensorrt+cuda",
            {TENSORRT: 1, CUDA: 3},
            [TENSORRT, CUDA],
            f"{TENSORRT} (1 of 4 nodes), {CUDA} (3 of 4 nodes)",
        ),
        ("tensorrt+cuda+cpu", {TENSORRT: 1}, [TENSORRT, CUDA, CPU], TENSORRT),
    ],
)
def test_what_ran_is_told(
    accelerator: str,
    nodes: dict[str, int],
    providers: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = jetson(nodes=nodes)
    model = load(board, monkeypatch, accelerator=accelerator)
    assert model.ran_on == told
    assert board.asked["providers"] == providers
    assert board.asked["enable_fallback"] is False
    assert board.fall_back_disabled
    strict = board.settings.entries.get("session.disable_cpu_ep_fallback")
    assert strict == (None if CPU in providers else "1")


@pytest.mark.parametrize(
    ("accelerator", "board", "said"),
    [
        ("warp", jetson(), "onnxruntime has no accelerator 'warp'; there are cpu, cuda, cuda.cpu"),
        # in another order, it would be another thing
        ("cpu+cuda", jetson(), "has no accelerator 'cpu.cuda'"),
        # not built with it: this machine's own wheel
        (
            "cuda",
            Board(offered=["AzureExecutionProvider", CPU], starting=[CPU]),
            f"this onnxruntime has no {CUDA}; it has AzureExecutionProvider, {CPU}",
        ),
        # built with it, and it does not start: no driver, or cuDNN of another version
        ("cuda", jetson(starting=[CPU]), f"would run on {CPU}, and {CUDA} was asked for: it did not start"),
        ("cuda+cpu", jetson(starting=[CPU]), f"would run on {CPU}, and {CUDA} was asked for"),
        ("tensorrt+cuda", jetson(starting=[CUDA, CPU]), f"and {TENSORRT} was asked for: it did not start"),
        # some of the model falls to the processor
        ("cuda", jetson(nodes={CUDA: 3, CPU: 1}), "would fall to the processor; 'cuda.cpu' allows that"),
        # all of it
        (
            "cuda+cpu",
            jetson(nodes={CPU: 4}),
            f"none of the model's 4 nodes runs on {CUDA}: all fell to {CPU}",
        ),
        # an onnxruntime that took the strict setting for nothing
        ("tensorrt", jetson(nodes={TENSORRT: 1, CPU: 2}), "2 of the model's 3 nodes can't run on Tensorrt"),
    ],
)
def test_a_silent_fall_back_is_refused(
    accelerator: str, board: Board, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        load(board, monkeypatch, accelerator=accelerator)
    assert "\n" not in str(refused.value)
    assert board.ran == 0


def test_shares_that_an_older_onnxruntime_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(jetson(tells_nodes=False), monkeypatch, accelerator="cuda+cpu")
    assert model.ran_on == f"{CUDA}, {CPU} (this onnxruntime does not tell their shares)"


def test_other_errors_are_not_taken_for_a_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: Any, **_more: Any) -> None:
        raise RuntimeError("Protobuf parsing failed.")

    board = jetson()
    load(board, monkeypatch)
    monkeypatch.setattr(sys.modules["edgemeter_made_up_onnxruntime"], "InferenceSession", broken)
    with pytest.raises(RuntimeError, match="Protobuf parsing failed"):
        loader("edgemeter_made_up_onnxruntime")("model.onnx", LoadOptions(accelerator="cuda"))


def test_a_provider_that_nobody_asked_for() -> None:
    with pytest.raises(ValueError, match="would run on ROCMExecutionProvider"):
        check_taken([CUDA], [CUDA, "ROCMExecutionProvider", CPU], {})


def test_the_batch_reaches_the_signature_and_a_query_is_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    board = jetson(nodes={CUDA: 1})
    model = load(board, monkeypatch, accelerator="cuda", batch_size=4)
    assert [list(spec.shape) for spec in (*model.signature.inputs, *model.signature.outputs)] == [[4, 3]] * 2
    model.prepare([np.ones((4, 3))])
    model.query()
    assert board.ran == 1
    assert model.outputs()[0].tolist() == [[2.0] * 3] * 4


def test_every_form_has_providers() -> None:
    assert {name for form in FORMS for name in wanted_providers(form)} == {CPU, CUDA, TENSORRT}
    assert ran_on((CPU,), {}) == CPU
