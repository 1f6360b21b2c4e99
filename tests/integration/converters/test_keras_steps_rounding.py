"""The rounding that training simulates is the converter's own."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edgemeter_converters.compress.keras.qat import Simulation
from edgemeter_converters.compress.keras.simulated import RoundedLayer
from tests.integration.converters import keras_steps_nets as nets

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow, nets.KERAS_SAVING]


@pytest.mark.parametrize("per_tensor", [False, True])
def test_kernels_are_rounded_as_tflite_rounds_them(per_tensor: bool) -> None:
    network = nets.made("residual")
    stored = integer_kernels(network, per_tensor)
    simulation = Simulation(network, per_tensor, ())
    rounded = [each for each in simulation.network._flatten_layers() if isinstance(each, RoundedLayer)]
    compared = 0
    for layer in rounded:
        if len(layer.layer.kernel.shape) != 4:
            continue
        factor = layer._factor()
        kernel = np.asarray(layer._rounded(layer.layer.kernel, (-1,)))
        # As stored: batch normalization folded in, output channels first.
        folded = np.moveaxis(kernel if factor is None else kernel * np.asarray(factor), -1, 0)
        alike = [np.abs(each - folded).max() for each in stored if each.shape == folded.shape]
        assert min(alike) < 1e-6, layer.name
        compared += 1
    assert compared == 5


def integer_kernels(network: Any, per_tensor: bool) -> list[NDArray[np.float32]]:
    """What the int8 kernels of TensorFlow's converter stand for."""
    import tensorflow as tf

    inputs = nets.inputs_of(network, samples=8)[0]
    with tempfile.TemporaryDirectory() as folder:
        network.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([inputs[at : at + 1]] for at in range(len(inputs)))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter._experimental_disable_per_channel = per_tensor
        interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    kernels = []
    for detail in interpreter.get_tensor_details():
        if detail["dtype"] is np.int8 and len(detail["shape"]) == 4 and detail["shape"][0] > 1:
            scales = detail["quantization_parameters"]["scales"].reshape(-1, 1, 1, 1)
            kernels.append(interpreter.get_tensor(detail["index"]).astype(np.float32) * scales)
    return kernels
