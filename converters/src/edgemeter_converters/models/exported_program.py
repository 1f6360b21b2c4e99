"""torch programs as `torch.export.save` writes them, .pt2."""

from __future__ import annotations

from typing import Any


def callable_module(program: Any) -> Any:
    """A module that takes the program's tensors one by one and gives what the program gives.

    A free batch that was exported from a sample of two or more may forbid one of 1, for the sake of
    broadcasting; what the graph computes for a batch of 1 is the same, so its guards are left out.
    """
    import torch
    from torch.utils import _pytree as pytree

    module = program.module(check_guards=False)
    in_spec = program.call_spec.in_spec

    class Flat(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.program = module
            self.training = False

        def forward(self, *inputs: Any) -> Any:
            positional, named = pytree.tree_unflatten(list(inputs), in_spec)
            return self.program(*positional, **named)

        def train(self, _mode: bool = True) -> Flat:
            """The program has its mode built in, and refuses to be told another."""
            return self

    return Flat()
