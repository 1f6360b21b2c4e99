"""What torch's networks consist of: modules, exported programs and TorchScripts."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

from edgemeter_converters.models import torch_module
from edgemeter_converters.models.model import Anatomy, LayerCount
from edgemeter_protos.v1 import variant_pb2


def anatomy(network: Any, signature: variant_pb2.Signature) -> Anatomy:
    """Layers, weights and multiply-accumulates of a network.

    Multiply-accumulates are half of the floating-point operations that `torch.utils.flop_counter` counts for
    one sample: convolutions (grouped and transposed ones too), matrix products, and so linear and recurrent
    layers and attention. What it does not count: additions of a bias, activations, normalizations, pooling,
    elementwise arithmetic, look-ups in embeddings. A free dimension beside the batch is taken as 32.
    """
    import torch

    counts = Counter[str]()
    parameters = Counter[str]()
    for kind, own in _layers(network):
        counts[kind] += 1
        parameters[kind] += own
    with torch.no_grad():
        non_zero = sum(int((_plain(each) != 0).sum()) for each in torch_module.weights(network))
    return Anatomy(
        macs=count_macs(network, signature),
        layers=tuple(
            LayerCount(kind=kind, count=count, parameters=parameters[kind])
            for kind, count in counts.most_common()
        ),
        non_zero_parameters=non_zero,
    )


def count_macs(network: Any, signature: variant_pb2.Signature) -> int:
    """Of one sample; 0 where the network can't be run on zeros."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from edgemeter_converters.models import exported_program

    inputs = torch_module.example_inputs(
        signature,
        [
            tuple(torch_module.TRIED if size < 0 else size for size in spec.shape[1:])
            for spec in signature.inputs
        ],
        batch=max([1, *(spec.shape[0] for spec in signature.inputs)]),
    )
    batch = inputs[0].shape[0]
    call = network if isinstance(network, torch.nn.Module) else exported_program.callable_module(network)
    counter = FlopCounterMode(display=False)
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        # oneDNN's recurrent layers and the fast ways of attention are each one op that the counter does not
        # know; plain ones are matrix products.
        torch.backends.mha.set_fastpath_enabled(False)
        with (
            torch.no_grad(),
            warnings.catch_warnings(),
            torch_module.without_onednn(),
            sdpa_kernel(SDPBackend.MATH),
            counter,
        ):
            warnings.simplefilter("ignore")
            call(*inputs)
    except (RuntimeError, ValueError, AssertionError, IndexError):
        return 0
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    operations = int(counter.get_total_flops())
    return operations // (2 * int(batch))


def _layers(network: Any) -> Iterator[tuple[str, int]]:
    """Kind and own weights of each layer; a weight that several share counts at the first."""
    import torch

    if isinstance(network, torch.jit.ScriptModule):
        yield from _of_script(network)
    elif isinstance(network, torch.nn.Module):
        yield from _of_module(network)
    else:
        yield from _of_program(network)


def _of_module(network: Any) -> Iterator[tuple[str, int]]:
    seen: set[int] = set()
    for module in network.modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if own or not any(True for _ in module.children()):
            # A TorchScript makes a new tensor object each time, of the same memory.
            fresh = [each for each in own if _is_weight(each) and each.data_ptr() not in seen]
            seen.update(each.data_ptr() for each in fresh)
            kind = getattr(module, "original_name", type(module).__name__)
            yield kind, sum(each.numel() for each in fresh)


def _of_program(program: Any) -> Iterator[tuple[str, int]]:
    signature = program.graph_signature
    named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    seen: set[str] = set()
    for node in program.graph.nodes:
        kind = str(node.target)
        if node.op != "call_function" or not kind.startswith("aten.") or "assert" in kind:
            continue
        own = {named[each.name] for each in node.all_input_nodes if each.name in named} - seen
        seen |= own
        weights = [program.state_dict.get(name) for name in own]
        yield (
            ".".join(kind.split(".")[:2]),
            sum(each.numel() for each in weights if each is not None and _is_weight(each)),
        )


def _of_script(script: Any) -> Iterator[tuple[str, int]]:
    if any(True for _ in script.children()):
        yield from _of_module(script)
        return
    # A frozen one has no modules any more: its ops are all there is.
    graph = script.inlined_graph
    for node in graph.nodes():
        kind = node.kind()
        if kind.startswith(("aten::", "quantized::")):
            own = [value.node() for value in node.inputs() if value.node().kind() == "prim::Constant"]
            tensors = [
                each.t("value") for each in own if each.hasAttribute("value") and each.kindOf("value") == "t"
            ]
            yield kind, sum(each.numel() for each in tensors if _is_weight(each))


def _is_weight(tensor: Any) -> bool:
    return bool(tensor.ndim and (tensor.is_floating_point() or tensor.is_quantized))


def _plain(tensor: Any) -> Any:
    return tensor.dequantize() if tensor.is_quantized else tensor
