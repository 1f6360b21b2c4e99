"""Keras models from .keras and legacy .h5 files, loaded in safe mode."""

from __future__ import annotations

import math
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import keras_config
from edgemeter_converters.models.model import LoadedModel
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

MAX_BYTES = 6 << 30
"""Of a model's file once unpacked: `MAX_WEIGHTS_BYTES`, and Adam's two moments of each weight."""

MAX_WEIGHTS_BYTES = (2 << 30) - 1
"""What a .tflite or .onnx file can hold at most."""

MAX_CONFIG_BYTES = 64 << 20


def load(path: Path, file_name: str) -> LoadedModel:
    """The model in a file; nothing but Keras's own code runs. Imports Keras: for conversion workers only.

    Args:
        path: where it is, under any name.
        file_name: what its user calls it: its suffix tells the format, and errors name it.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL or TOO_LARGE.
    """
    suffix = Path(file_name).suffix.lower()
    config = _config_of_h5(path, file_name) if suffix == ".h5" else _config_of_zip(path, file_name)
    keras_config.check(config, file_name)

    import keras

    with tempfile.TemporaryDirectory(prefix="edgemeter-model-") as folder:
        # Keras goes by the name; a blob has none.
        named = Path(folder) / f"model{suffix}"
        modern = keras_config.modern(config) if suffix == ".h5" else config
        if modern == config:
            named.symlink_to(path.resolve())
        else:
            _copy_h5(path, named, modern)
        try:
            network = keras.saving.load_model(named, compile=False, safe_mode=True)
        except (MemoryError, ImportError):
            raise
        except Exception as error:
            # Keras raises whatever a layer's constructor happens to raise.
            _refuse(file_name, f"Keras can't load it: {_reason(error)}")
    if not isinstance(network, keras.Model) or not network.built or not getattr(network, "inputs", None):
        _refuse(
            file_name, "it has no fixed inputs: save a Sequential or functional model that has been built"
        )
    weights_bytes = sum(math.prod(each.shape) * np.dtype(each.dtype).itemsize for each in network.weights)
    if weights_bytes > MAX_WEIGHTS_BYTES:
        raise ConversionError(
            f"{file_name}: its weights take {weights_bytes:,} bytes, at most {MAX_WEIGHTS_BYTES:,} are read",
            reason=refusal_pb2.REFUSAL_REASON_TOO_LARGE,
        )
    return LoadedModel(
        framework="keras",
        network=network,
        signature=_signature(network),
        parameters=int(network.count_params()),
    )


def call_flat(network: Any, inputs: Sequence[Any]) -> list[Any]:
    """The network in inference, from its inputs to its outputs in the order of its signature."""
    import keras

    # A Sequential model has one input, and may have no structure of inputs to pack it into.
    sequential = isinstance(network, keras.Sequential)
    packed = inputs[0] if sequential else keras.tree.pack_sequence_as(network.input, list(inputs))
    return list(keras.tree.flatten(network(packed, training=False)))


def predict(network: Any, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """The network's own outputs in inference, float64, batch first: one array an output."""
    import keras

    outputs = call_flat(network, [keras.ops.convert_to_tensor(each) for each in inputs])
    return tuple(np.asarray(keras.ops.convert_to_numpy(each), dtype=np.float64) for each in outputs)


def _signature(network: Any) -> variant_pb2.Signature:
    return variant_pb2.Signature(
        inputs=[_spec(tensor) for tensor in network.inputs],
        outputs=[_spec(tensor) for tensor in network.outputs],
    )


def _spec(tensor: Any) -> variant_pb2.TensorSpec:
    return variant_pb2.TensorSpec(
        name=tensor.name,
        dtype=np.dtype(tensor.dtype).name,
        shape=[-1 if size is None else size for size in tensor.shape],
    )


def _config_of_zip(path: Path, file_name: str) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            size_bytes = sum(info.file_size for info in archive.infolist())
            if size_bytes > MAX_BYTES:
                _refuse_size(file_name, size_bytes)
            if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
                _refuse(file_name, f"its configuration takes more than {MAX_CONFIG_BYTES:,} bytes")
            return archive.read("config.json")
    except FileNotFoundError:
        _refuse(file_name, "there is no such file")
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError, ValueError):
        _refuse(file_name, "it is no Keras model; save one with model.save('name.keras')")


def _config_of_h5(path: Path, file_name: str) -> bytes | str:
    import h5py

    if path.is_file() and path.stat().st_size > MAX_BYTES:
        _refuse_size(file_name, path.stat().st_size)
    try:
        with h5py.File(path, "r") as file:
            config = file.attrs["model_config"]
    except FileNotFoundError:
        _refuse(file_name, "there is no such file")
    except (OSError, KeyError, ValueError, RuntimeError):
        _refuse(file_name, "it is no Keras model (or weights only); save one with model.save('name.keras')")
    if not isinstance(config, str | bytes):
        _refuse(file_name, "its model_config is no text; save it again with model.save('name.keras')")
    return config


def _copy_h5(path: Path, copy: Path, config: bytes | str) -> None:
    """The file with another configuration."""
    import h5py

    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = config


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return first if len(first) <= 300 else first[:299] + "…"


def _refuse(file_name: str, what: str) -> NoReturn:
    raise ConversionError(f"{file_name}: {what}", reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL)


def _refuse_size(file_name: str, size_bytes: int) -> NoReturn:
    raise ConversionError(
        f"{file_name}: it unpacks to {size_bytes:,} bytes, at most {MAX_BYTES:,} are read",
        reason=refusal_pb2.REFUSAL_REASON_TOO_LARGE,
    )
