"""torch's devices, and what a query on CUDA does, over a torch that tests lay out."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgemeter_agent.runtimes.torch import CudaModel, check_exported, chosen_device
from edgemeter_protos.v1 import variant_pb2


def made_up(version: str | None, devices: int) -> Any:
    return SimpleNamespace(
        __version__="2.13.0",
        version=SimpleNamespace(cuda=version),
        cuda=SimpleNamespace(is_available=lambda: devices > 0),
    )


@pytest.mark.parametrize(
    ("accelerator", "version", "devices", "device"),
    [("", "12.6", 1, "cpu"), ("cpu", None, 0, "cpu"), ("cuda", "12.6", 1, "cuda")],
)
def test_a_device(accelerator: str, version: str | None, devices: int, device: str) -> None:
    assert chosen_device(made_up(version, devices), accelerator) == device


@pytest.mark.parametrize(
    ("accelerator", "version", "devices", "said"),
    [
        ("cuda", None, 0, r"'cuda' was asked for, and this torch \(2.13.0\) was built without it"),
        ("cuda", "12.6", 0, "'cuda' was asked for, and torch sees no CUDA device"),
        ("xnnpack", "12.6", 1, "torch has no accelerator 'xnnpack'; there are cpu, cuda"),
    ],
)
def test_no_device_says_why(accelerator: str, version: str | None, devices: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        chosen_device(made_up(version, devices), accelerator)


class Tensor:
    """Knows where it is, and in `log` what was done, in order."""

    is_quantized = False

    def __init__(self, log: list[str], place: str = "cpu", values: Any = ((1.0, 2.0),)) -> None:
        self.log, self.place, self.values = log, place, np.array(values)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def to(self, where: Any) -> Tensor:
        self.log.append(f"to {where}")
        return Tensor(self.log, where, self.values)

    def numpy(self) -> Any:
        return self.values


def test_a_query_on_cuda_copies_there_and_back_and_waits() -> None:
    log: list[str] = []
    torch = SimpleNamespace(
        inference_mode=contextlib.nullcontext,
        float32="float32",
        cuda=SimpleNamespace(
            synchronize=lambda: log.append("synchronize"),
            get_device_name=lambda number: f"Orin {number}",
            max_memory_allocated=lambda: 4096,
        ),
    )

    def call(tensor: Tensor) -> dict[str, Any]:
        assert tensor.place == "cuda"
        log.append("call")
        return {"y": [Tensor(log, "cuda", tensor.values * 2)]}

    model = CudaModel(torch, call, variant_pb2.Signature())
    model._prepared = [Tensor(log)]
    model.query()
    assert log == ["to cuda", "call", "to cpu", "synchronize"]
    assert model.outputs()[0].tolist() == [[2.0, 4.0]]
    assert model.ran_on == "CUDA (Orin 0)"
    assert model.arena_bytes() == 4096


class Symbol:
    """A size that an export left free: a symbol with an expression."""

    def __init__(self, expression: str) -> None:
        self.node = SimpleNamespace(expr=expression)


RANGES = {"s0": SimpleNamespace(lower=2, upper=8)}


@pytest.mark.parametrize(
    ("shape", "batch_size", "said"),
    [
        ([Symbol("s0"), 3], 8, None),
        ([Symbol("s0"), 3], 9, "exported for batches of 2 to 8 of 'x', and 9 was asked for"),
        # a symbol without a range
        ([Symbol("s1"), 3], 900, None),
        ([4, 3], 4, None),
        ([1, 3], 4, r"exported with 'x' of \[1, 3\], and a batch of 4 was asked for"),
        ([], 4, r"exported with 'x' of \[\]"),
    ],
)
def test_programs_take_the_batches_that_they_were_exported_for(
    shape: list[Any], batch_size: int, said: str | None
) -> None:
    if said is None:
        check_exported("x", shape, batch_size, RANGES)
        return
    with pytest.raises(ValueError, match=said):
        check_exported("x", shape, batch_size, RANGES)
