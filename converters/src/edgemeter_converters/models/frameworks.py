"""The frameworks that models come from. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Framework:
    """One of them.

    Attributes:
        name: as it is kept and shown.
        noun: as people call one of its models, with an article.
        natural_format: of a recipe that names none.
        trainable: whether steps that fine-tune can train its models.
        writes_text: whether its models are language models: they take windows of tokens, have a tokenizer,
            and are timed by what they write.
    """

    name: str
    noun: str
    natural_format: str
    trainable: bool = False
    writes_text: bool = False


FRAMEWORKS = MappingProxyType(
    {
        each.name: each
        for each in (
            Framework(name="keras", noun="a Keras model", natural_format="tflite", trainable=True),
            Framework(name="saved_model", noun="a TensorFlow SavedModel", natural_format="tflite"),
            Framework(name="torch", noun="a torch module", natural_format="tflite", trainable=True),
            Framework(name="exported_program", noun="a torch ExportedProgram", natural_format="tflite"),
            Framework(name="torchscript", noun="a TorchScript file", natural_format="torchscript"),
            Framework(name="onnx", noun="an ONNX file", natural_format="onnx"),
            Framework(name="tflite", noun="a TFLite file", natural_format="tflite"),
            Framework(
                name="llama",
                noun="a Llama language model",
                natural_format="gguf",
                trainable=True,
                writes_text=True,
            ),
        )
    }
)
