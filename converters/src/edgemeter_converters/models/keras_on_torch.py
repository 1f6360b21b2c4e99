"""A Keras model as a torch program, in a process of its own: `python -m … IN.keras OUT.pt2 SHAPES`.

A process has one Keras backend, and a conversion worker's is TensorFlow. This one runs with
KERAS_BACKEND=torch, where Keras's layers are torch's ops and `torch.export` can follow them.

SHAPES is JSON: a list of one sample's shape for each input, in the order of the model's signature.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import keras, program_folding, torch_module


def main(source: Path, target: Path, input_shapes: list[tuple[int, ...]]) -> None:
    """Raises ConversionError, or whatever a layer raises where torch can't follow it."""
    import torch

    model = keras.load(source, source.name)
    network = model.keras
    network.trainable = False

    class Flat(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *inputs: Any) -> tuple[Any, ...]:
            return tuple(keras.call_flat(self.network, inputs))

    inputs = torch_module.example_inputs(model.signature, input_shapes)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(Flat().eval(), inputs)
        program = torch.export.export(program_folding.fold(program), inputs)
    torch.export.save(program, target)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), [tuple(shape) for shape in json.loads(sys.argv[3])])
    except ConversionError as error:
        sys.exit(error.message)
    except Exception as error:
        # Keras and torch raise whatever a layer happens to raise.
        sys.exit(torch_module.reason_of(error))
