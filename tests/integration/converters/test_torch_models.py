"""Torch models in: safe loading, functions of the user's own package, what a network consists of."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import (
    bridge,
    exported_program,
    torch_anatomy,
    torch_function,
    torch_module,
    torchscript,
)
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

# Exporting warns of torch's own deprecations.
pytestmark = [pytest.mark.slow, pytest.mark.needs_torch, pytest.mark.filterwarnings("ignore")]

NETS = """
import torch
from torch import nn

def small():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, groups=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    return net, torch.zeros(7, 3, 8, 8)

def alone():
    return small()[0]

def other():
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 5))

def fixed():
    class Net(nn.Module):
        def forward(self, x):
            return x.reshape(1, 12)
    return Net(), torch.zeros(1, 3, 4)

def broken():
    raise KeyError("no weights here")

def number():
    return 3
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A package of the user's."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "edgemeter_test_nets").mkdir()
    (folder / "edgemeter_test_nets" / "__init__.py").write_text("")
    (folder / "edgemeter_test_nets" / "nets.py").write_text(NETS)
    sys.path.insert(0, str(folder))
    yield "edgemeter_test_nets"
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.startswith("edgemeter_test_nets")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def small() -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 5)
    ).eval()


def images(samples: int) -> tuple[Any, ...]:
    return (np.random.RandomState(3).standard_normal((samples, 3, 8, 8)).astype(np.float32),)


def refused(reason: int, load: Any, *arguments: Any) -> str:
    with pytest.raises(ConversionError) as caught:
        load(*arguments)
    assert caught.value.reason == reason
    assert "\n" not in caught.value.message
    return caught.value.message


UNSAFE = refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL
NO_MODEL = refusal_pb2.REFUSAL_REASON_NOT_A_MODEL


def exported(small: Any, path: Path, *, free: bool) -> Path:
    import torch

    shapes = ({0: torch.export.Dim("batch", min=2)},) if free else None
    samples = 2 if free else 1
    program = torch.export.export(small, (torch.zeros(samples, 3, 8, 8),), dynamic_shapes=shapes)
    torch.export.save(program, path.with_suffix(".pt2"))
    # As a blob store has it: no suffix.
    path.with_suffix(".pt2").rename(path)
    return path


@pytest.mark.parametrize("free", [True, False])
def test_an_exported_program_computes_what_its_module_does(small: Any, tmp_path: Path, free: bool) -> None:
    model = exported_program.load(exported(small, tmp_path / "blob", free=free), "net.pt2")
    assert model.framework == "exported_program"
    assert model.parameters == sum(each.numel() for each in small.parameters())
    assert list(model.signature.inputs[0].shape) == [-1 if free else 1, 3, 8, 8]
    assert list(model.signature.outputs[0].shape) == [-1 if free else 1, 5]
    own = torch_module.predict(small, images(5))
    np.testing.assert_allclose(exported_program.predict(model.network, images(5))[0], own[0], atol=1e-6)
    # A batch of exactly 1, though its range began at 2; example inputs of its own size.
    program = bridge.exported_program(model, ((3, 8, 8),), tmp_path)
    assert [tuple(each.shape) for each in program.example_inputs[0]] == [(1, 3, 8, 8)]
    once = program.module()(*map(_tensor, images(1)))
    np.testing.assert_allclose(torch_module.flat(once)[0].detach().numpy(), own[0][:1], atol=1e-6)


def test_an_archive_that_would_unpickle_anything_is_refused(small: Any, tmp_path: Path) -> None:
    import torch

    ran = tmp_path / "ran"
    inside = io.BytesIO()
    torch.save({"inputs": _Trap(ran)}, inside)
    path = exported(small, tmp_path / "blob", free=False)
    forged = _with_record(path, tmp_path / "forged.pt2", "data/sample_inputs/model.pt", inside.getvalue())
    assert "sample_inputs" in refused(UNSAFE, exported_program.load, forged, "net.pt2")
    compiled = _with_record(path, tmp_path / "aot.pt2", "data/aotinductor/model/a.so", b"\x7fELF")
    assert "machine code" in refused(UNSAFE, exported_program.load, compiled, "net.pt2")
    assert not ran.exists()


def test_what_is_no_exported_program(small: Any, tmp_path: Path) -> None:
    import torch

    text = tmp_path / "text"
    text.write_text("import os")
    refused(NO_MODEL, exported_program.load, text, "net.pt2")
    refused(NO_MODEL, exported_program.load, tmp_path / "absent", "net.pt2")
    torch.save(small.state_dict(), tmp_path / "weights")
    refused(NO_MODEL, exported_program.load, tmp_path / "weights", "net.pt2")
    whole = exported(small, tmp_path / "whole", free=False).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    refused(NO_MODEL, exported_program.load, tmp_path / "cut", "net.pt2")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2 << 30)
    refused(refusal_pb2.REFUSAL_REASON_TOO_LARGE, exported_program.load, tmp_path / "huge", "net.pt2")


def test_a_torchscript_takes_its_inputs_from_the_caller(small: Any, tmp_path: Path) -> None:
    import torch

    path = tmp_path / "blob"
    torch.jit.save(torch.jit.script(small), path)
    spec = variant_pb2.TensorSpec(dtype="float32", shape=[-1, 3, 8, 8])
    model = torchscript.load(path, "net.pt", [spec])
    assert model.framework == "torchscript"
    assert list(model.signature.outputs[0].shape) == [-1, 5]
    own = torch_module.predict(small, images(3))
    np.testing.assert_allclose(torchscript.predict(model.network, images(3))[0], own[0], atol=1e-6)
    assert "--input float32[3,32,32]" in refused(NO_MODEL, torchscript.load, path, "net.pt", [])
    wrong = variant_pb2.TensorSpec(dtype="float32", shape=[-1, 3, 9, 9])
    assert "float32[1, 3, 9, 9]" in refused(NO_MODEL, torchscript.load, path, "net.pt", [wrong])
    refused(0, bridge.exported_program, model, ((3, 8, 8),), tmp_path)


def test_what_is_no_torchscript(small: Any, tmp_path: Path) -> None:
    import torch

    class Reads(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.from_file("/etc/hostname", False, 1)

    spec = variant_pb2.TensorSpec(dtype="float32", shape=[-1, 3, 8, 8])
    ran = tmp_path / "ran"
    torch.save(small, tmp_path / "pickled")
    torch.save(_Trap(ran), tmp_path / "trap")
    torch.save(small, tmp_path / "old", _use_new_zipfile_serialization=False)
    for name in ("pickled", "trap", "old"):
        said = refused(UNSAFE, torchscript.load, tmp_path / name, "net.pt", [spec])
        assert "pickled module" in said
    torch.jit.save(torch.jit.script(Reads()), tmp_path / "reads")
    assert "from_file" in refused(UNSAFE, torchscript.load, tmp_path / "reads", "net.pt", [spec])
    torch.save(small.state_dict(), tmp_path / "weights")
    said = refused(NO_MODEL, torchscript.load, tmp_path / "weights", "net.pt", [spec])
    assert "weights without a network" in said
    (tmp_path / "text").write_text("hello")
    refused(NO_MODEL, torchscript.load, tmp_path / "text", "net.pt", [spec])
    assert not ran.exists()


def test_a_functions_weights_are_frozen_and_go_into_what_it_returns_later(
    package: str, tmp_path: Path
) -> None:
    import torch

    function = f"{package}.nets:small"
    module, inputs = torch_function.call(function, (package,))
    assert inputs is not None
    with torch.no_grad():
        module[0].weight.mul_(3)
    content = torch_function.freeze(module, function, torch_function.specs_of(inputs))
    again, _ = torch_function.call(function, (package,))
    again.load_state_dict(module.state_dict())
    assert torch_function.freeze(again, function, torch_function.specs_of(inputs)) == content
    path = tmp_path / "blob"
    path.write_bytes(content)
    assert torch_function.function_of(path, "net.torchmodule") == function
    model = torch_function.load(path, "net.torchmodule", (package,))
    assert list(model.signature.inputs[0].shape) == [-1, 3, 8, 8]
    np.testing.assert_array_equal(
        torch_module.predict(model.network, images(3))[0], torch_module.predict(module, images(3))[0]
    )
    refused(UNSAFE, torch_function.load, path, "net.torchmodule", ())
    path.write_bytes(_rezipped(content, b"nets:small", b"nets:other"))
    said = refused(NO_MODEL, torch_function.load, path, "net.torchmodule", (package,))
    assert f"{package}.nets:other now returns another architecture" in said
    assert said.endswith("add the model again")


def test_functions_that_return_something_else(package: str, tmp_path: Path) -> None:
    assert "KeyError" in refused(NO_MODEL, torch_function.call, f"{package}.nets:broken", (package,))
    assert "int" in refused(NO_MODEL, torch_function.call, f"{package}.nets:number", (package,))
    assert "absent" in refused(NO_MODEL, torch_function.call, f"{package}.nets:absent", (package,))
    module, inputs = torch_function.call(f"{package}.nets:alone", (package,))
    assert inputs is None
    said = refused(NO_MODEL, torch_function.freeze, module, f"{package}.nets:alone", ())
    assert "--input float32[3,32,32]" in said
    # A network of one batch size does not claim another.
    function = f"{package}.nets:fixed"
    fixed, inputs = torch_function.call(function, (package,))
    path = tmp_path / "fixed"
    path.write_bytes(torch_function.freeze(fixed, function, torch_function.specs_of(inputs or ())))
    model = torch_function.load(path, "fixed.torchmodule", (package,))
    assert list(model.signature.inputs[0].shape) == [1, 3, 4]
    samples = np.arange(60, dtype=np.float32).reshape(5, 3, 4)
    np.testing.assert_array_equal(torch_module.predict(model.network, (samples,))[0], samples.reshape(5, 12))
    (tmp_path / "text").write_text("hello")
    refused(NO_MODEL, torch_function.load, tmp_path / "text", "net.torchmodule", (package,))


def test_free_dimensions_are_told_by_trying() -> None:
    import torch

    anywhere = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.ReLU())
    spec = variant_pb2.TensorSpec(name="x", dtype="float32", shape=[-1, 3, -1, -1])
    told = torch_module.loaded(anywhere, "net", inputs=[spec]).signature
    assert list(told.inputs[0].shape) == [-1, 3, -1, -1]
    assert list(told.outputs[0].shape) == [-1, 4, -1, -1]
    pooled = torch.nn.Sequential(anywhere, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    assert list(torch_module.loaded(pooled, "net", inputs=[spec]).signature.outputs[0].shape) == [-1, 4]


def test_multiply_accumulates_are_counted_as_by_hand() -> None:
    import torch
    from torch import nn

    class Attention(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.attention(x, x, x, need_weights=False)[0]

    class Recurrent(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(6, 8, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.lstm(x)[0]

    grouped = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8, padding=1), nn.Conv2d(8, 12, 3, groups=4))
    cases: list[tuple[Any, list[int], int]] = [
        (grouped, [8, 12, 12], 8 * 9 * 144 + 12 * 2 * 9 * 100),
        (nn.ConvTranspose2d(12, 6, 2, stride=2), [12, 6, 6], 12 * 6 * 4 * 36),
        # Seven steps: queries, keys and values; two heads' scores and sums; the projection.
        (Attention(), [7, 8], 7 * 8 * 24 + 2 * (2 * 7 * 7 * 4) + 7 * 8 * 8),
        (Recurrent(), [5, 6], 5 * 4 * 8 * (6 + 8)),
        (nn.BatchNorm2d(3), [3, 4, 4], 0),
    ]
    for module, shape, macs in cases:
        signature = variant_pb2.Signature(
            inputs=[variant_pb2.TensorSpec(dtype="float32", shape=[-1, *shape])]
        )
        module.eval()
        program = torch.export.export(module, (torch.zeros(1, *shape),))
        assert torch_anatomy.count_macs(module, signature) == macs
        assert torch_anatomy.count_macs(program, signature) == macs


def test_layers_and_weights_are_counted_once(small: Any, tmp_path: Path) -> None:
    import torch

    tied = torch.nn.Sequential(torch.nn.Embedding(20, 8), torch.nn.Linear(8, 20, bias=False)).eval()
    tied[1].weight = tied[0].weight
    with torch.no_grad():
        tied[0].weight[0] = 0
    spec = variant_pb2.TensorSpec(dtype="int64", shape=[-1, 9])
    model = torch_module.loaded(tied, "tied", inputs=[spec])
    assert model.parameters == 160
    path = tmp_path / "tied"
    torch.jit.save(torch.jit.script(tied), path)
    script = torchscript.load(path, "tied.pt", [spec])
    assert script.parameters == 160
    for each in (model, script):
        told = torch_anatomy.anatomy(each.network, each.signature)
        assert told.non_zero_parameters == 152
        assert told.macs == 9 * 8 * 20
        assert sum(layer.parameters for layer in told.layers) == 160
        assert {layer.kind: layer.count for layer in told.layers} == {"Embedding": 1, "Linear": 1}
    program = exported_program.load(exported(small, tmp_path / "blob", free=True), "net.pt2")
    told = torch_anatomy.anatomy(program.network, program.signature)
    assert {layer.kind for layer in told.layers} >= {"aten.conv2d", "aten.relu", "aten.linear"}
    assert sum(layer.parameters for layer in told.layers) == program.parameters


class _Trap:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def _tensor(array: Any) -> Any:
    import torch

    return torch.from_numpy(array)


def _with_record(source: Path, target: Path, name: str, content: bytes) -> Path:
    import torch

    reader = torch._C.PyTorchFileReader(str(source))
    writer = torch._C.PyTorchFileWriter(str(target))
    for each in reader.get_all_records():
        if each != name and not each.startswith((".data/", "byteorder", "version")):
            record = reader.get_record(each)
            writer.write_record(each, record, len(record))
    writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    return target


def _rezipped(content: bytes, old: bytes, new: bytes) -> bytes:
    """The archive with its description changed."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            archive.writestr(
                name, source.read(name).replace(old, new) if name.endswith("json") else source.read(name)
            )
    return target.getvalue()
