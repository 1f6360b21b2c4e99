"""Removing channels from a torch module, with all that depends on them.

torch-pruning proposes which layers lose channels together (Fang et al., DepGraph, arXiv:2301.12900). It reads
that from a traced graph by rules of thumb: reshapes, splits or sums over channels that it does not see
through make it cut the wrong ones, without an error. So nothing is believed that was not seen: the cut module
must give what the whole one gives when it ignores those channels (`masked`). Layers that fail are left whole.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning
from torch import nn

from edgemeter_converters.compress.torch.masked import Kept, Tally, ignore_channels
from edgemeter_converters.models import torch_module

EXACT = 1e-5
"""How far the two may be apart in double precision, as a share of the outputs' largest magnitude: parts of a
module may still round to float32, while a wrong channel shows in the second or third digit."""

CLOSE = 1e-3
"""The same in float32, for modules that don't run in double precision."""

MAKES_AN_OUTPUT = "it makes an output"
"""Why a layer is left whole that every model has."""

Removals = Mapping[str, Sequence[int]]
"""By the name of the layer whose outputs they are: channels to remove, ascending."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Channels to remove, seen to be removable.

    Attributes:
        removals: empty where nothing can be removed.
        whole: layers that keep all their channels, and why, a few words.
    """

    removals: Removals
    whole: Mapping[str, str]


def plan(module: Any, inputs: Sequence[Any], share: float, progress: Callable[[str], None]) -> Plan:
    """Which channels to remove from each layer: those whose weights, over all layers that lose them together,
    have the smallest L2 norm.

    Args:
        module: left as it is.
        inputs: to run it on, batch first.
        share: of each layer's channels that go; rounded up, but never all.
        progress: told what is being done, a few words.
    """
    proposed, whole = _proposed(module, inputs, share)
    accepted, refused = _accepted(module, inputs, list(proposed), proposed, progress)
    return Plan(
        removals={name: proposed[name] for name in accepted},
        whole=whole | dict.fromkeys(refused, "cutting it changes more than its own channels"),
    )


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What was cut.

    Attributes:
        kept: of each layer concerned.
        loose: parameters outside of any known layer that lost entries along with it: a scale, an embedding of
            positions.
    """

    kept: Mapping[str, Kept]
    loose: tuple[str, ...]


def remove(module: Any, inputs: Sequence[Any], removals: Removals) -> Cut:
    """Cuts the module in place.

    Raises:
        Exception: whatever torch-pruning, or the module itself, happens to raise where it can't be cut so.
    """
    trained = {name: each.requires_grad for name, each in module.named_parameters()}
    graph = _graph(module, inputs)
    tally = Tally()
    loose: dict[str, None] = {}
    for name, indices in removals.items():
        layer = module.get_submodule(name)
        group = graph.get_pruning_group(
            layer, graph.get_pruner_of_module(layer).prune_out_channels, list(indices)
        )
        if not graph.check_pruning_group(group):
            raise ValueError(f"{name} would lose all of its channels")
        _count(graph, group, tally)
        loose |= {graph._param_to_name[dep.target.module]: None for dep, _ in group if _is_loose(dep)}
        group.prune(record_history=False)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(trained[name])
        parameter.grad = None
    return Cut(kept=tally.kept(), loose=tuple(loose))


def _is_loose(dep: Any) -> bool:
    return isinstance(dep.target.module, nn.Parameter)


def _graph(module: Any, inputs: Sequence[Any]) -> Any:
    for parameter in module.parameters():
        # The trace follows gradients.
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
    graph = torch_pruning.DependencyGraph()
    return graph.build_dependency(
        module,
        example_inputs=tuple(inputs),
        forward_fn=lambda network, given: network(*given),
        # Each output ends in a node of its own, even one that other layers take too.
        output_transform=lambda outputs: [
            each * 1 for each in torch_module.flat(outputs) if each.requires_grad
        ],
        verbose=False,
    )


def _proposed(
    module: Any, inputs: Sequence[Any], share: float
) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """What torch-pruning would remove, by the layer whose outputs it starts at; and the layers that are left
    whole from the start."""
    traced = copy.deepcopy(module)
    names = {each: name for name, each in traced.named_modules()}
    tied = _tied(traced)
    graph = _graph(traced, inputs)
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
    proposed: dict[str, tuple[int, ...]] = {}
    whole: dict[str, str] = {}
    for group in graph.get_all_groups(root_module_types=[nn.modules.conv._ConvNd, nn.Linear]):
        root = group[0].dep.target.module
        if root not in names:
            continue
        reason = _reason_against(group, tied)
        channels = len(group[0].idxs)
        parts = math.lcm(*_parts(graph, group))
        size = channels // parts
        scores = _scores(importance, group)
        if not reason and size < 2:
            reason = "it has too few channels"
        elif not reason and (channels % parts or scores is None or len(scores) != channels):
            reason = "channels of theirs don't correspond one to one"
        if reason:
            whole |= dict.fromkeys(_narrowed(graph, group, names), reason)
            continue
        by_place = scores.detach().double().reshape(parts, size).mean(dim=0).nan_to_num()
        removed = min(size - 1, math.ceil(share * size - 1e-9))
        places = by_place.argsort(stable=True)[:removed].tolist()
        proposed[names[root]] = tuple(sorted(part * size + at for part in range(parts) for at in places))
    return proposed, whole


def _narrowed(graph: Any, group: Any, names: Mapping[Any, str]) -> Iterator[str]:
    """The layers that would make fewer channels."""
    for dep, _ in group:
        target = dep.target.module
        if isinstance(target, nn.modules.conv._ConvNd | nn.Linear) and graph.is_out_channel_pruning_fn(
            dep.handler
        ):
            yield names[target]


def _scores(importance: Any, group: Any) -> Any:
    """Of each channel of the group's root; None where none of its layers tells."""
    try:
        return importance(group)
    except (RuntimeError, IndexError, TypeError):
        # Its layers are coupled in a way in which their channels don't correspond.
        return None


def _reason_against(group: Any, tied: set[int]) -> str:
    """Why the layers of a group keep their channels, a few words; empty where they need not."""
    for dep, _ in group:
        target = dep.target.module
        if dep.target.type == torch_pruning.ops.OPTYPE.OUTPUT:
            return MAKES_AN_OUTPUT
        if isinstance(target, nn.MultiheadAttention):
            return "its channels are attention's heads"
        if isinstance(target, nn.RNNBase | nn.RNNCellBase) and not (
            isinstance(target, nn.RNNBase) and _takes_inputs(dep)
        ):
            return "its channels are a recurrent layer's state"
        own = [target] if isinstance(target, nn.Parameter) else target.parameters(recurse=False)
        if any(id(each) in tied for each in own):
            return "its weights are shared"
    return ""


def _takes_inputs(dep: Any) -> bool:
    return bool(dep.handler.__name__ == "prune_in_channels")


def _tied(module: Any) -> set[int]:
    """Identities of parameters that stand in more than one place."""
    seen: set[int] = set()
    twice: set[int] = set()
    for _, each in module.named_parameters(remove_duplicate=False):
        (twice if id(each) in seen else seen).add(id(each))
    return twice


def _parts(graph: Any, group: Any) -> Iterator[int]:
    """Into how many equal parts, that must stay equal, each layer of a group divides its channels."""
    for dep, _ in group:
        target = dep.target.module
        if isinstance(target, nn.GroupNorm) or (
            isinstance(target, nn.modules.conv._ConvNd) and target.groups != target.out_channels
        ):
            pruner = graph.get_pruner_of_module(target)
            inside = graph.is_in_channel_pruning_fn(dep.handler)
            yield (pruner.get_in_channel_groups if inside else pruner.get_out_channel_groups)(target)


def _count(graph: Any, group: Any, tally: Tally) -> None:
    for dep, indices in group:
        target = dep.target.module
        name = graph._module2name.get(target) if isinstance(target, nn.Module) else None
        if not name:
            continue
        for outputs, concerned, channels in (
            (False, graph.is_in_channel_pruning_fn(dep.handler), graph.get_in_channels),
            (True, graph.is_out_channel_pruning_fn(dep.handler), graph.get_out_channels),
        ):
            if concerned:
                tally.cut(name, outputs, channels(target), set(indices))


def _accepted(
    module: Any,
    inputs: Sequence[Any],
    names: list[str],
    proposed: Removals,
    progress: Callable[[str], None],
) -> tuple[list[str], list[str]]:
    """The layers whose channels can be removed, found by halving: usually all pass at once."""
    accepted: list[str] = []
    refused: list[str] = []
    pending = [names] if names else []
    while pending:
        some = pending.pop()
        progress(f"choosing channels, {sum(map(len, pending), len(some))} of {len(names)} layers to go")
        if _holds(module, inputs, {name: proposed[name] for name in accepted + some}):
            accepted += some
        elif len(some) == 1:
            refused += some
        else:
            half = len(some) // 2
            pending += [some[half:], some[:half]]
    # In the module's order, whatever order they were tried in.
    return [each for each in names if each in accepted], [each for each in names if each in refused]


def _holds(module: Any, inputs: Sequence[Any], removals: Removals) -> bool:
    """Whether the module without those channels gives what it gives when it ignores them."""
    cut, ignoring = copy.deepcopy(module), copy.deepcopy(module)
    try:
        kept = remove(cut, inputs, removals).kept
    except Exception:
        # torch-pruning and the modules it runs raise whatever their assumptions break with.
        return False
    ignore_channels(ignoring, kept)
    same = _same(cut, ignoring, inputs, torch.float64, EXACT)
    if same is None:
        # A module that makes float32 numbers itself can't be run in double precision.
        same = _same(cut, ignoring, inputs, torch.float32, CLOSE)
    return bool(same)


def _same(cut: Any, ignoring: Any, inputs: Sequence[Any], dtype: Any, allowed: float) -> bool | None:
    """Whether both give the same; None where one of them can't be run."""
    given = tuple(each.to(dtype) if each.is_floating_point() else each for each in inputs)
    try:
        with torch.no_grad():
            mine = torch_module.flat(cut.to(dtype)(*given))
            its = torch_module.flat(ignoring.to(dtype)(*given))
    except Exception:
        # A module raises whatever its ops happen to raise on shapes that don't fit.
        return None
    return len(mine) == len(its) and all(map(_close, mine, its, [allowed] * len(its)))


def _close(mine: Any, its: Any, allowed: float) -> bool:
    if mine.shape != its.shape or not bool(torch.isfinite(mine).all()):
        return False
    largest = float(its.abs().max()) if its.numel() else 0.0
    return bool(((mine - its).abs() <= allowed * max(largest, 1e-12)).all())
