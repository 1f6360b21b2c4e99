"""Programs laid out field by field with Google's writer, as program.fbs numbers them."""

from __future__ import annotations

from pathlib import Path

import flatbuffers  # type: ignore[import-untyped]
import pytest

from edgemeter_agent.runtimes.executorch_program import (
    ProgramFacts,
    check_accelerator,
    free_batch,
    method_facts,
    ran_on,
    read_program,
)
from edgemeter_protos.v1 import variant_pb2

KERNEL, DELEGATE, MOVE = 1, 2, 3
STATIC, BOUND = 0, 1


def offsets(builder: flatbuffers.Builder, items: list[int]) -> int:
    builder.StartVector(4, len(items), 4)
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return int(builder.EndVector())


def table(builder: flatbuffers.Builder, size: int, **slots: tuple[str, int]) -> int:
    """Slots by "fN": (writer's name, value)."""
    builder.StartObject(size)
    for name, (form, value) in slots.items():
        getattr(builder, f"Prepend{form}Slot")(int(name[1:]), value, 0)
    return int(builder.EndObject())


def program(
    *,
    backends: list[str],
    calls: list[int],
    sizes: list[int],
    inputs: list[int],
    method: str = "forward",
) -> bytes:
    """`inputs`: each one's shape dynamism."""
    builder = flatbuffers.Builder(256)
    names = [builder.CreateString(name) for name in backends]
    delegates = offsets(builder, [table(builder, 3, f0=("UOffsetTRelative", name)) for name in names])
    instructions = offsets(builder, [table(builder, 2, f0=("Uint8", kind)) for kind in calls])
    chains = offsets(builder, [table(builder, 4, f2=("UOffsetTRelative", instructions))])
    tensors = [table(builder, 10, f8=("Int8", dynamism)) for dynamism in inputs]
    # A value that is no tensor comes first.
    values = offsets(
        builder,
        [
            table(builder, 2, f0=("Uint8", 2)),
            *(table(builder, 2, f0=("Uint8", 5), f1=("UOffsetTRelative", tensor)) for tensor in tensors),
        ],
    )
    builder.StartVector(4, len(inputs), 4)
    for number in reversed(range(len(inputs))):
        builder.PrependInt32(number + 1)
    input_numbers = builder.EndVector()
    builder.StartVector(8, len(sizes), 8)
    for size in reversed(sizes):
        builder.PrependInt64(size)
    buffer_sizes = builder.EndVector()
    name = builder.CreateString(method)
    plan = table(
        builder,
        10,
        f0=("UOffsetTRelative", name),
        f2=("UOffsetTRelative", values),
        f3=("UOffsetTRelative", input_numbers),
        f5=("UOffsetTRelative", chains),
        f7=("UOffsetTRelative", delegates),
        f8=("UOffsetTRelative", buffer_sizes),
    )
    plans = offsets(builder, [plan])
    builder.Finish(table(builder, 8, f1=("UOffsetTRelative", plans)), b"ET12")
    return bytes(builder.Output())


WHOLE = program(backends=["XnnpackBackend"], calls=[DELEGATE], sizes=[0, 4096], inputs=[STATIC])
MIXED = program(
    backends=["XnnpackBackend", "XnnpackBackend"],
    calls=[DELEGATE, KERNEL, MOVE, KERNEL, DELEGATE],
    sizes=[0, 4096, 512],
    inputs=[STATIC, BOUND],
)
PLAIN = program(backends=[], calls=[KERNEL], sizes=[0], inputs=[STATIC])
OTHER = program(backends=["VulkanBackend"], calls=[DELEGATE, KERNEL], sizes=[0, 64], inputs=[])


def facts(made: bytes) -> ProgramFacts:
    return method_facts(memoryview(made), "forward")


@pytest.mark.parametrize(
    ("made", "backends", "kernel_calls", "planned_bytes", "dynamic", "told"),
    [
        (WHOLE, ("XnnpackBackend",), 0, 4096, (False,), "CPU (XNNPACK)"),
        (
            MIXED,
            ("XnnpackBackend",),
            2,
            4608,
            (False, True),
            "CPU (XNNPACK, 2 operators in ExecuTorch's kernels)",
        ),
        (PLAIN, (), 1, 0, (False,), "CPU (ExecuTorch's kernels)"),
        (OTHER, ("VulkanBackend",), 1, 64, (), "VulkanBackend, 1 operator in ExecuTorch's kernels"),
    ],
)
def test_facts(
    made: bytes,
    backends: tuple[str, ...],
    kernel_calls: int,
    planned_bytes: int,
    dynamic: tuple[bool, ...],
    told: str,
) -> None:
    read = facts(made)
    assert read == ProgramFacts(
        backends=backends, kernel_calls=kernel_calls, planned_bytes=planned_bytes, dynamic=dynamic
    )
    assert ran_on(read) == told


def test_what_is_no_program(tmp_path: Path) -> None:
    path = tmp_path / "net.pte"
    path.write_bytes(WHOLE)
    assert read_program(str(path), "forward").planned_bytes == 4096
    with pytest.raises(ValueError, match="no method 'backward'"):
        read_program(str(path), "backward")
    path.write_bytes(b"something else entirely")
    with pytest.raises(ValueError, match=r"net\.pte is no ExecuTorch program"):
        read_program(str(path), "forward")
    path.write_bytes(WHOLE[:60])
    with pytest.raises(ValueError, match="points beyond"):
        read_program(str(path), "forward")


@pytest.mark.parametrize(
    ("accelerator", "backends", "said"),
    [
        ("xnnpack", ["XnnpackBackend"], None),
        ("cpu", [], None),
        ("xnnpack", [], "made for no delegate, and 'xnnpack' was asked for"),
        ("xnnpack", ["VulkanBackend"], "made for VulkanBackend, and 'xnnpack'"),
        ("cpu", ["XnnpackBackend"], "made for XNNPACK, and 'cpu' wants ExecuTorch's own kernels alone"),
    ],
)
def test_accelerators(accelerator: str, backends: list[str], said: str | None) -> None:
    if said is None:
        check_accelerator(accelerator, backends)
        return
    with pytest.raises(ValueError, match=said):
        check_accelerator(accelerator, backends)


def spec(*shape: int) -> variant_pb2.TensorSpec:
    return variant_pb2.TensorSpec(name="input_0", dtype="float32", shape=shape)


def test_a_dynamic_inputs_size_is_its_largest() -> None:
    kept, freed = free_batch([spec(1, 3), spec(8, 3)], [False, True], 4)
    assert (list(kept.shape), list(freed.shape)) == ([1, 3], [-1, 3])
    with pytest.raises(ValueError, match="planned for at most 8 samples of input 0, and a batch of 9"):
        free_batch([spec(8, 3)], [True], 9)
