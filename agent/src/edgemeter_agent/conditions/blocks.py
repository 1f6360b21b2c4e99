"""A block as it was seen."""

from __future__ import annotations

from dataclasses import dataclass

from edgemeter_protos.v1 import result_pb2


@dataclass(frozen=True, kw_only=True)
class SeenBlock:
    before: result_pb2.Snapshot
    after: result_pb2.Snapshot
    void_reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        return not self.void_reasons
