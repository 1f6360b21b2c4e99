"""What a task is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgemeter_protos.v1 import variant_pb2


class Task(Protocol):
    """What a model is for: which models it fits, and the metric that says how well they do."""

    @property
    def name(self) -> str: ...

    def fits(self, signature: variant_pb2.Signature) -> bool:
        """Whether a model of this signature may be for this task."""
        ...

    def score(self, outputs: Sequence[NDArray[Any]], labels: NDArray[np.integer[Any]]) -> variant_pb2.Quality:
        """The metric over outputs (real values, batch first, one array an output) and their labels.

        Raises:
            ValueError: outputs that are not this task's, or not as many as labels.
        """
        ...
