"""The empty runtime: takes no input, does nothing, gives nothing. What the loop measures of it is the
loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array, LoadedModel, LoadOptions, RealArray

ARENA = "the empty runtime holds no tensors"


def loader(_package: str) -> Callable[[str, LoadOptions], LoadedModel]:
    """Options make no difference to nothing."""
    return lambda _artifact_path, _options: NullModel()


class NullModel:
    def __init__(self) -> None:
        self.signature = variant_pb2.Signature()
        self.ran_on = "nothing"

    def arena_bytes(self) -> int | None:
        return None

    def prepare(self, inputs: Sequence[Array]) -> None:
        if inputs:
            raise ValueError(f"the empty runtime takes no input, and {len(inputs)} were given")

    def query(self) -> None:
        pass

    def outputs(self) -> list[RealArray]:
        return []
