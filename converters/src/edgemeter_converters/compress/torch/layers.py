"""Copies of torch modules that may be changed, and the weights in them that compression is about."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import torch_module
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps.transform import Context

TRIED_SIZE = 32
"""Of a dimension beside the batch that the signature leaves free and no data settles."""


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A matrix (or a stack of them) that inputs are multiplied by.

    Attributes:
        name: the parameter's, as in the module's state: "head.weight".
        layer: the name of the module that owns it: "head".
        parameter: floating point, two dimensions or more.
        input_axis: the dimension along which products are summed.
        output_axis: the dimension that has an entry for each output channel.
        depthwise: whether each output is made of one input channel alone.
    """

    name: str
    layer: str
    parameter: nn.Parameter
    input_axis: int = 1
    output_axis: int = 0
    depthwise: bool = False


def writable_copy(model: LoadedModel) -> Any:
    """A copy of the model's module that shares nothing with it, all of its weights plain parameters.

    Parametrizations (weight norm and the like) are replaced with what they give: a weight that is computed
    anew from others can't be held at zero.

    Raises:
        ConversionError: the module can't be copied.
    """
    try:
        module = copy.deepcopy(model.torch)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ConversionError(
            f"the module can't be copied, which every step needs: {torch_module.reason_of(error)}"
        ) from error
    for each in list(module.modules()):
        if parametrize.is_parametrized(each):
            _settle(each)
    parameters = [each for each in module.parameters() if each.is_floating_point()]
    if not any(each.requires_grad for each in parameters):
        # Frozen for inference, not in order to keep a part of it from training.
        for each in parameters:
            each.requires_grad_(True)
    module.eval()
    return module


def _settle(module: Any) -> None:
    """Replaces a copied module's parametrizations with plain weights.

    Not by `remove_parametrizations`: that undoes the class that the copy shares with what it was copied from.
    """
    values = {name: getattr(module, name).detach().clone() for name in module.parametrizations}
    trained = {
        name: any(each.requires_grad for each in of.parameters())
        for name, of in module.parametrizations.items()
    }
    module.__class__ = type(module).__bases__[0]
    del module.parametrizations
    # Weight norm's, that translates older checkpoints' names, and can't be pickled.
    module._load_state_dict_pre_hooks.clear()
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, requires_grad=trained[name]))


def transformed(model: LoadedModel, module: Any) -> LoadedModel:
    """The model with a changed module in its place: inputs and outputs as they were."""
    module.eval()
    for each in module.parameters():
        each.grad = None
    counted = sum(each.numel() for each in torch_module.weights(module))
    return dataclasses.replace(model, network=module, parameters=counted)


def weights(module: Any, *, embeddings: bool = False) -> tuple[Weight, ...]:
    """Of convolutions, dense and recurrent layers and attention, in the module's order, each once.

    Biases and normalization are left out: they are few and matter much.

    Args:
        embeddings: whether to count tables that are looked up in among them.
    """
    found: dict[int, Weight] = {}
    for layer, each in module.named_modules():
        for name, transposed in _matrices(each, embeddings):
            parameter = getattr(each, name, None)
            if isinstance(parameter, nn.Parameter) and parameter.ndim >= 2:
                weight = Weight(
                    name=f"{layer}.{name}" if layer else name,
                    layer=layer,
                    parameter=parameter,
                    input_axis=0 if transposed else 1,
                    output_axis=1 if transposed else 0,
                    depthwise=isinstance(each, _ConvNd) and 1 < each.groups == each.in_channels,
                )
                found.setdefault(id(parameter), weight)
    return tuple(found.values())


def _matrices(module: Any, embeddings: bool) -> Iterator[tuple[str, bool]]:
    """Names of a layer's own matrices, and whether inputs come first in them."""
    if isinstance(module, _ConvNd):
        yield "weight", module.transposed
    elif isinstance(module, nn.Linear) or (embeddings and isinstance(module, nn.Embedding)):
        yield "weight", False
    elif isinstance(module, nn.RNNBase | nn.RNNCellBase):
        for name, _ in module.named_parameters(recurse=False):
            if name.startswith("weight_"):
                yield name, False
    elif isinstance(module, nn.MultiheadAttention):
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            yield name, False


def sample_inputs(model: LoadedModel, context: Context, samples: int = 2) -> tuple[Any, ...]:
    """A few inputs to run the module on: of the training data where there is any, else seeded random numbers;
    zeros for integers, which are in range whatever they index.

    Returns:
        A tensor for each input, batch first: `samples`, or 1 where the module takes only that.
    """
    count = 1 if model.signature.inputs[0].shape[0] == 1 else samples
    if context.training is not None and len(context.training) >= count:
        return tuple(torch.from_numpy(np.array(each[:count])) for each in context.training.inputs)
    random = torch.Generator().manual_seed(context.seed % 2**63)
    tensors = []
    for spec in model.signature.inputs:
        shape = [count, *(TRIED_SIZE if size < 0 else size for size in spec.shape[1:])]
        dtype = torch_module.dtype_of(spec.dtype)
        if dtype.is_floating_point:
            tensors.append(torch.rand(shape, generator=random, dtype=dtype))
        else:
            tensors.append(torch.zeros(shape, dtype=dtype))
    return tuple(tensors)


def replace(module: Any, name: str, new: Any) -> None:
    """Puts `new` where the submodule of that name is."""
    parent, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(parent), attribute, new)


def listed(names: Sequence[str], at_most: int = 5) -> str:
    """ "conv1, conv2, conv3, conv4, conv5 and 7 more" """
    shown = ", ".join(names[:at_most])
    return shown if len(names) <= at_most else f"{shown} and {len(names) - at_most} more"
