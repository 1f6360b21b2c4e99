"""The frameworks that models come from. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Framework:
    """One of them.

    Attributes:
        name: as it is kept and shown.
        title: as people write it.
        natural_format: of a recipe that names none.
        trainable: whether steps that fine-tune can train its models.
    """

    name: str
    title: str
    natural_format: str
    trainable: bool = False


FRAMEWORKS = MappingProxyType(
    {
        each.name: each
        for each in (
            Framework(name="keras", title="Keras", natural_format="tflite", trainable=True),
            Framework(name="saved_model", title="TensorFlow SavedModel", natural_format="tflite"),
            Framework(name="torch", title="torch module", natural_format="tflite", trainable=True),
            Framework(name="exported_program", title="torch ExportedProgram", natural_format="tflite"),
            Framework(name="torchscript", title="TorchScript", natural_format="torchscript"),
            Framework(name="onnx", title="ONNX", natural_format="onnx"),
            Framework(name="tflite", title="TFLite", natural_format="tflite"),
        )
    }
)
