"""What a Keras model's configuration would have Keras do, looked at before Keras sees it. Pure.

Keras's own safe mode refuses lambdas too; looking first names the layer, covers the legacy .h5 format in the
same way, and does not depend on one line of defence.
"""

from __future__ import annotations

import json
from typing import Any

from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2

_RUNS_CODE = {
    "Lambda": "runs Python code that the file brings along",
    "__lambda__": "runs Python code that the file brings along",
    "TorchModuleWrapper": "unpickles what the file brings along",
    "TFSMLayer": "loads another model from this machine's disk",
}

_NOT_LOADED = frozenset({"compile_config", "training_config", "optimizer_config"})
"""Parts that concern training: models are loaded without them."""


def check(config_text: str | bytes, file_name: str) -> None:
    """Nothing, where every object in the configuration is of Keras's own harmless classes.

    Args:
        config_text: JSON: `config.json` of a .keras file, `model_config` of an .h5.
        file_name: for the error.

    Raises:
        ConversionError: UNSAFE_MODEL, naming the layer; NOT_A_MODEL where it is no configuration.
    """
    try:
        config = json.loads(config_text)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or "class_name" not in config:
        raise ConversionError(
            f"{file_name}: it holds no Keras model's configuration; save one with model.save('name.keras')",
            reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
        )
    # Each with the layer that it is part of. No recursion: the depth is the file's to choose.
    pending: list[tuple[Any, str]] = [(config, "")]
    while pending:
        value, layer = pending.pop()
        if isinstance(value, list):
            pending.extend((each, layer) for each in value)
        elif isinstance(value, dict):
            layer = _layer_name(value) or layer
            _check_class(value, layer, file_name)
            pending.extend((each, layer) for key, each in value.items() if key not in _NOT_LOADED)


def modern(config_text: str | bytes) -> str | bytes:
    """The configuration without what Keras 2 wrote and Keras 3 refuses; itself where there is nothing such.

    Keras 2 gave depthwise convolutions the `groups` of every convolution, always 1.
    """
    config = json.loads(config_text)
    changed = False
    pending: list[Any] = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            settings = value.get("config")
            depthwise = str(value.get("class_name")).startswith("DepthwiseConv")
            if depthwise and isinstance(settings, dict) and settings.get("groups") == 1:
                del settings["groups"]
                changed = True
            pending.extend(value.values())
    return json.dumps(config) if changed else config_text


def _layer_name(value: dict[str, Any]) -> str:
    config = value.get("config")
    name = config.get("name") if "class_name" in value and isinstance(config, dict) else None
    return name if isinstance(name, str) else ""


def _check_class(value: dict[str, Any], layer: str, file_name: str) -> None:
    class_name = value.get("class_name")
    if not isinstance(class_name, str):
        return
    where = f"layer {layer!r}" if layer else "the model"
    if class_name in _RUNS_CODE:
        _refuse(
            file_name,
            f"{where} ({class_name}) {_RUNS_CODE[class_name]}; "
            "edgemeter loads models in Keras's safe mode only: rewrite it with Keras's own layers",
        )
    if not _is_of_keras(value):
        _refuse(
            file_name,
            f"{where} ({class_name}) is of a class that is not part of Keras; "
            "edgemeter runs no code but Keras's own: rewrite it with Keras's own layers, or write it with "
            "model.export('folder') and give that SavedModel",
        )


def _is_of_keras(value: dict[str, Any]) -> bool:
    module = value.get("module")
    if "module" in value and module is None:
        # What Keras writes for a class that nobody registered.
        return False
    if isinstance(module, str) and module != "builtins" and module.split(".")[0] != "keras":
        return False
    # "package>Name" is a class that its author registered; .h5 files have that for the class's name.
    for key in ("registered_name", "class_name"):
        package, separator, _ = str(value.get(key)).partition(">")
        if separator and package != "keras":
            return False
    return True


def _refuse(file_name: str, what: str) -> None:
    raise ConversionError(f"{file_name}: {what}", reason=refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL)
