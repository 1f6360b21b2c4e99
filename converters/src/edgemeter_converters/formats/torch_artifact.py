"""What runs in torch's own interpreter, as artifacts: TorchScript and exported programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_protos.v1 import variant_pb2


class TorchArtifact:
    """A callable of tensors, run one sample at a time on one thread."""

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        call: Callable[..., Any],
        reference: Callable[..., Any],
        signature: variant_pb2.Signature,
        weights: Sequence[Any],
    ) -> None:
        """`weights`: tensors, each once; `reference`: the same computation by other kernels."""
        self._call = call
        self._reference = reference
        self.signature = signature
        self.parameters = sum(int(each.numel()) for each in weights)
        self.non_zero_parameters = sum(non_zero(each) for each in weights)

    def run(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        return run_samples(self._call, inputs, self.signature)

    def run_reference(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """By other kernels of torch's."""
        return run_samples(self._reference, inputs, self.signature)

    def run_layers(self, _inputs: Sequence[NDArray[Any]]) -> dict[str, tuple[str, NDArray[Any]]]:
        """None: neither kind of file shows intermediate values."""
        return {}


def run_samples(
    call: Callable[..., Any], inputs: Sequence[NDArray[Any]], signature: variant_pb2.Signature
) -> tuple[NDArray[Any], ...]:
    """Real outputs, float32, batch first, of `call`, which takes and gives tensors of one sample."""
    import torch

    from edgemeter_converters.models import torch_module

    rows = []
    with torch.inference_mode(), one_thread():
        for at in range(len(inputs[0])):
            tensors = [
                torch.from_numpy(np.array(array[at : at + 1], dtype=np.dtype(spec.dtype)))
                for array, spec in zip(inputs, signature.inputs, strict=True)
            ]
            rows.append([each.to(torch.float32).numpy().copy() for each in torch_module.flat(call(*tensors))])
    return tuple(np.concatenate(column) for column in zip(*rows, strict=True))


@contextmanager
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def non_zero(tensor: Any) -> int:
    """How many of its numbers are not zero; of a quantized tensor, of the numbers that it stands for."""
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    return int((tensor != 0).sum())
