"""torch modules in evaluation mode: called with their inputs in the order of their signature."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_protos.v1 import refusal_pb2, variant_pb2


def dtype_of(name: str) -> Any:
    """torch's element type of numpy's name. Raises ValueError where torch has none."""
    import torch

    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"torch has no numbers of type {name}")
    return dtype


def example_inputs(
    signature: variant_pb2.Signature, input_shapes: Sequence[tuple[int, ...]], *, batch: int = 1
) -> tuple[Any, ...]:
    """Zeros, each a tensor of its own: a view would drag the whole of what it is a view of into a file.

    Args:
        input_shapes: of one sample of each input.
    """
    import torch

    return tuple(
        torch.zeros((batch, *shape), dtype=dtype_of(spec.dtype))
        for shape, spec in zip(input_shapes, signature.inputs, strict=True)
    )


def flat(outputs: Any) -> list[Any]:
    """The tensors in whatever structure a module gave, in their structure's order; None are left out."""
    from torch.utils import _pytree as pytree

    return [leaf for leaf in pytree.tree_leaves(outputs) if leaf is not None]


def is_flat(outputs: Any) -> bool:
    """Whether a module's outputs are one tensor, or a tuple of tensors."""
    import torch

    if isinstance(outputs, tuple):
        return type(outputs) is tuple and all(isinstance(each, torch.Tensor) for each in outputs)
    return isinstance(outputs, torch.Tensor)


def output_names(outputs: Any) -> list[str]:
    """Of each tensor in a module's outputs: keys and positions that lead to it, "output" for a sole one."""
    from torch.utils import _pytree as pytree

    pairs, _ = pytree.tree_flatten_with_path(outputs)
    names = []
    for path, leaf in pairs:
        if leaf is not None:
            parts = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path]
            names.append("_".join(parts))
    if len(names) == 1 and not names[0]:
        return ["output"]
    return [f"output_{name}" if name.isdigit() else name for name in names]


def flattened(network: Any) -> Any:
    """A module that gives a tuple of the tensors that `network` gives in any structure."""
    import torch

    class Flattened(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            # Of this module alone: an exported program's refuses to be told twice.
            self.training = False

        def forward(self, *inputs: Any) -> tuple[Any, ...]:
            return tuple(flat(self.network(*inputs)))

    return Flattened()


def weights(network: Any) -> list[Any]:
    """Each weight tensor of a module, an exported program or a TorchScript once: parameters, the running
    statistics and whatever else is constant, as far as it is of floats. Ties count once."""
    import torch

    found: dict[Any, Any] = {}
    named = [*network.parameters(), *network.buffers()]
    if isinstance(network, torch.jit.ScriptModule):
        named += frozen_constants(network)
    elif not isinstance(network, torch.nn.Module):
        named += [each for each in network.constants.values() if isinstance(each, torch.Tensor)]
    for tensor in named:
        if tensor.ndim and (tensor.is_floating_point() or tensor.is_quantized):
            found.setdefault((tensor.data_ptr() or id(tensor), tuple(tensor.shape)), tensor)
    return list(found.values())


def frozen_constants(script: Any) -> list[Any]:
    """Tensors that `torch.jit.freeze` wrote into the graph of a TorchScript."""
    # Nodes live as long as their graph.
    graph = script.inlined_graph
    nodes = graph.findAllNodes("prim::Constant")
    return [node.t("value") for node in nodes if node.hasAttribute("value") and node.kindOf("value") == "t"]


def predict(network: Any, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """The module's own outputs, float64, batch first: one array an output."""
    import torch

    with torch.inference_mode():
        return predict_with(lambda tensors: flat(network(*tensors)), inputs)


def predict_with(
    call: Callable[[list[Any]], Sequence[Any]], inputs: Sequence[NDArray[Any]]
) -> tuple[NDArray[Any], ...]:
    """Outputs of `call`, which takes and gives tensors; sample by sample where it refuses the whole batch."""
    import torch

    def once(first: int, past: int) -> list[NDArray[Any]]:
        tensors = [torch.from_numpy(np.array(each[first:past])) for each in inputs]
        return [each.detach().to(torch.float64).numpy() for each in call(tensors)]

    samples = len(inputs[0])
    if samples > 1:
        try:
            whole = once(0, samples)
        except (RuntimeError, ValueError, AssertionError, IndexError):
            # A network of one batch size says so in as many ways as there are ops.
            whole = []
        if whole and all(each.ndim and len(each) == samples for each in whole):
            return tuple(whole)
    rows = [once(at, at + 1) for at in range(samples)]
    return tuple(np.concatenate(column) for column in zip(*rows, strict=True))


def loaded(
    module: Any,
    file_name: str,
    *,
    inputs: Sequence[variant_pb2.TensorSpec],
    framework: str = "torch",
) -> LoadedModel:
    """A module as a `LoadedModel`: its outputs are found by running it on zeros.

    A free batch is claimed only where the module was seen to take a batch of two.

    Args:
        inputs: batch first, -1 where a dimension is free; a free dimension beside the batch is tried with 32.

    Raises:
        ConversionError: NOT_A_MODEL, the module fails on such inputs or gives something else than tensors.
    """
    import torch

    module.eval()
    names = [spec.name or f"input_{at}" for at, spec in enumerate(inputs)]
    wanted = variant_pb2.Signature(inputs=inputs)
    with torch.inference_mode():
        try:
            one = module(*example_inputs(wanted, _shapes(inputs, TRIED)))
        except (MemoryError, ImportError):
            raise
        except Exception as error:
            # A module raises whatever its ops happen to raise.
            given = ", ".join(
                f"{spec.dtype}{[1, *shape]}"
                for spec, shape in zip(inputs, _shapes(inputs, TRIED), strict=True)
            )
            raise ConversionError(
                f"{file_name}: it can't be run on inputs {given}: {reason_of(error)}",
                reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            ) from error
        tensors = flat(one)
        if not tensors or not all(isinstance(each, torch.Tensor) and each.ndim for each in tensors):
            raise ConversionError(
                f"{file_name}: it gives something else than tensors with a batch dimension",
                reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            )
        sizes = [list(each.shape) for each in tensors]
        two = _sizes(module, example_inputs(wanted, _shapes(inputs, TRIED), batch=2))
        free = two == [[2, *rest] for _, *rest in sizes] and not any(spec.shape[0] > 0 for spec in inputs)
        other = sizes
        if any(size < 0 for spec in inputs for size in spec.shape[1:]):
            other = _sizes(module, example_inputs(wanted, _shapes(inputs, 2 * TRIED)))
        if [len(each) for each in other] != [len(each) for each in sizes]:
            other = sizes
    batch = -1 if free else 1
    return LoadedModel(
        framework=framework,
        network=module,
        signature=variant_pb2.Signature(
            inputs=[
                variant_pb2.TensorSpec(name=name, dtype=spec.dtype, shape=[batch, *spec.shape[1:]])
                for name, spec in zip(names, inputs, strict=True)
            ],
            outputs=[
                variant_pb2.TensorSpec(
                    name=name,
                    dtype=str(tensor.dtype).removeprefix("torch."),
                    shape=[batch, *_same(first[1:], second[1:])],
                )
                for name, tensor, first, second in zip(output_names(one), tensors, sizes, other, strict=True)
            ],
        ),
        parameters=sum(each.numel() for each in weights(module)),
    )


TRIED = 32
"""Of a free dimension that is no batch: what most networks for images and sequences take."""


def _shapes(inputs: Sequence[variant_pb2.TensorSpec], tried: int) -> list[tuple[int, ...]]:
    """Of one sample; free dimensions take that size."""
    return [tuple(tried if size < 0 else int(size) for size in spec.shape[1:]) for spec in inputs]


def _sizes(module: Any, inputs: tuple[Any, ...]) -> list[list[int]]:
    """Of its outputs for such inputs; empty where it does not take them."""
    try:
        return [list(each.shape) for each in flat(module(*inputs))]
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError):
        return []


def _same(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """Sizes, -1 where they differ. Pure."""
    return [one if one == two else -1 for one, two in zip(first, second, strict=True)]


@contextmanager
def without_onednn() -> Iterator[None]:
    """While this lasts torch runs float32 convolutions on its own kernels, not on oneDNN's."""
    import torch

    with warnings.catch_warnings():
        # Setting the flag makes torch look for a GPU that it has no support for, and say so.
        warnings.simplefilter("ignore")
        flags = torch.backends.mkldnn.flags(enabled=False)
        flags.__enter__()
    try:
        yield
    finally:
        flags.__exit__(None, None, None)


def reason_of(error: BaseException) -> str:
    """The first line of what torch said, without the folder names that it likes to add."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return first if len(first) <= 300 else first[:299] + "…"
