"""Between numpy's arrays and torch's tensors, which torch and ExecuTorch both take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemeter_agent.runtimes.fit import check_fits
from edgemeter_agent.runtimes.quantization import to_stored
from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array, RealArray


def prepared(torch: Any, inputs: Sequence[Array], specs: Sequence[variant_pb2.TensorSpec]) -> list[Any]:
    """Tensors of their own memory, in the element types that the model takes; with no specs, as they are.

    Raises ValueError for a number of inputs or a shape that does not fit.
    """
    if not specs:
        return [torch.from_numpy(np.array(each)) for each in inputs]
    check_fits(inputs, specs)
    return [
        torch.from_numpy(np.array(to_stored(array, spec))) for array, spec in zip(inputs, specs, strict=True)
    ]


def real(torch: Any, tensor: Any) -> RealArray:
    """A copy of an output tensor, float32."""
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    values: RealArray = np.array(tensor.to(torch.float32).numpy())
    return values


def dtype_name(tensor: Any) -> str:
    """numpy's name of its element type."""
    return str(tensor.dtype).removeprefix("torch.")
