"""A loaded model, whatever framework it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgemeter_protos.v1 import variant_pb2


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """An original model in this process's memory. Shared between variants: never change `network` in place.

    Attributes:
        framework: "keras", …
        network: the framework's own object.
        signature: batch first; -1 where a dimension is free.
        parameters: weights of every kind, trained or not.
    """

    framework: str
    network: object
    signature: variant_pb2.Signature
    parameters: int

    @property
    def keras(self) -> Any:
        """`network` as a `keras.Model`."""
        if self.framework != "keras":
            raise TypeError(f"a {self.framework} model is no Keras model")
        return self.network
