"""Which layers a tensor of a .tflite file comes from, told by its name. Pure.

TensorFlow's converter names a tensor by the scopes that its op was called in, and joins the names of ops that
it fused: `net_1/relu_1/Relu;net_1/conv_1/convolution`. Keras 3 opens each layer's scope twice, so the inner
one, where the ops are, has a number after the layer's own name. litert-torch writes the modules' classes and
names: `pack.Net;;pack.Net/torch.nn.modules.container.Sequential_body/torch.nn.modules.conv.Conv2d_0;2`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

_NUMBERED = re.compile(r"(.+)_\d+$")
_MODULE = re.compile(r"(?:[^.]+\.)*?_*[A-Z][^._]*_(.+)$")
"""`torch.nn.modules.conv.Conv2d_0`: packages, a class, the module's name in the one around it."""

_CELL = re.compile(r"(lstm|gru|simple_rnn)_cell(_\d+)?$")

_WRAPPER = "edgemeter_converters."
"""Our own modules that flatten a network's outputs hold it under one more name."""


def layers_of(tensor_name: str) -> tuple[str, ...]:
    """Paths of the layers whose ops made the tensor, as its name has them; none where it names none.

    A Keras layer's path is its name, after those of the models that it is nested in: `block/conv`; a torch
    module's is the one that `named_modules` gives: `body.0`.
    """
    parts = [part for part in tensor_name.split(";") if part and not part.isdigit()]
    found = [_torch(part) if _is_torch(part) else _keras(part) for part in parts]
    return tuple(dict.fromkeys(path for path in found if path))


def matches(pattern: str, layer: str) -> bool:
    """Whether a name or shell pattern means a layer: by its path, its own name, or what it is a part of."""
    names = {layer, *layer.split("/")}
    dots = [at for at, sign in enumerate(layer) if sign == "."]
    return any(fnmatchcase(name, pattern) for name in names | {layer[:at] for at in dots})


def unmatched(patterns: Sequence[str], layers: Sequence[str]) -> list[str]:
    """The patterns that mean none of the layers."""
    return [pattern for pattern in patterns if not any(matches(pattern, layer) for layer in layers)]


def _is_torch(part: str) -> bool:
    return "." in part.split("/")[0] and not part.startswith("arith.")


def _torch(part: str) -> str:
    root, *modules = part.split("/")
    named = [_MODULE.match(module) for module in modules]
    path = [module[1] for module in named if module is not None]
    return ".".join(path[1:] if root.startswith(_WRAPPER) else path)


def _keras(part: str) -> str:
    *scopes, _op = part.split("/")
    if not scopes:
        return ""
    if not _NUMBERED.match(scopes[0]):
        # Not made by Keras 3: the scopes are what their author called them.
        return "/".join(scopes)
    path = []
    for scope in scopes[1:]:
        numbered = _NUMBERED.match(scope)
        if numbered is None:
            break
        path.append(numbered[1])
    if len(path) > 1 and _CELL.match(path[-1]):
        # Keras makes a recurrent layer's cell: nobody knows its name.
        path.pop()
    return "/".join(path)
