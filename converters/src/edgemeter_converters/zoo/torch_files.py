"""Files of torch networks that `nets` builds. Imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgemeter_converters.models import torch_function
from edgemeter_converters.trust import ZOO_NETS


def write_module(path: Path, function: str, weights: Iterable[Any]) -> Path:
    """A .torchmodule: the module that the function builds, with these weights.

    Args:
        function: "edgemeter_converters.zoo.nets.…", which gives the module and example inputs.
        weights: tensors in the order of the module's state.

    Raises:
        ConversionError: the function fails.
        ValueError: there are more weights than the module has, or fewer.
    """
    module, inputs = torch_function.call(function, (ZOO_NETS,))
    # Both list their tensors in the order in which they compute; the names differ.
    module.load_state_dict(dict(zip(module.state_dict(), weights, strict=True)))
    assert inputs is not None
    path.write_bytes(torch_function.freeze(module, function, torch_function.specs_of(inputs)))
    return path
