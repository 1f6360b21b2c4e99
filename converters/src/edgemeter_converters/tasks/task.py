"""What a task is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from edgemeter_converters.steps.parameter import Arguments, Parameter
from edgemeter_protos import against
from edgemeter_protos.v1 import variant_pb2

LABELS, ORIGINAL = against.LABELS, against.ORIGINAL


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What outputs are held against, for the same samples in the same order.

    Attributes:
        labels: batch first, of whatever shape the task wants; None where the data has none.
        original: the uncompressed model's own outputs, float32, batch first; None where nobody has them.
        inputs: what went into the model, as it took them; empty where nobody has them.
    """

    labels: NDArray[Any] | None = None
    original: tuple[NDArray[Any], ...] | None = None
    inputs: tuple[NDArray[Any], ...] = ()


class Task(Protocol):
    """What a model is for: which models and labels suit it, and the metrics that say how well they do."""

    @property
    def text(self) -> str:
        """Canonical: `tasks.task` of it gives the same task."""
        ...

    @property
    def sample_noun(self) -> str:
        """What one sample is to a user: "inference", "frame", "token"."""
        ...

    @property
    def needs_original(self) -> bool:
        """Whether some metric is against the original's outputs."""
        ...

    @property
    def needs_inputs(self) -> bool:
        """Whether some metric looks at what went into the model."""
        ...

    def fits(self, signature: variant_pb2.Signature) -> bool:
        """Whether a model of this signature may be for this task."""
        ...

    def misfit(self, labels: variant_pb2.TensorSpec) -> str:
        """Why labels like these (of one sample, without a batch dimension) say nothing here, a clause that
        says "…, this task wants …"; empty where they do."""
        ...

    def metrics(self, outputs: Sequence[NDArray[Any]], truth: Truth) -> tuple[variant_pb2.Quality, ...]:
        """Every metric that `truth` allows, those against labels first, the one that matters most before the
        others; none where it allows none.

        Args:
            outputs: real values, batch first, one array an output.

        Raises:
            ValueError: outputs that are not this task's, not as many as there are labels, or not numbers.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class TaskKind:
    """A task as its name stands for it, before its arguments are given.

    Attributes:
        parameters: of its text: `detection(centernet, classes=80)`.
        make: from the parameters' values.
        guessed: whether `task_of` may choose it by a model's signature; else a user must name it.
        scores_classes: whether its output is a score for each class, and its labels are class indices: what
            can be learned by cross-entropy. Of tasks without parameters only.
    """

    name: str
    summary: str
    make: Callable[[Arguments], Task]
    parameters: tuple[Parameter, ...] = ()
    guessed: bool = False
    scores_classes: bool = False
    example: str = ""


def first_against(metrics: Sequence[variant_pb2.Quality], against: str) -> variant_pb2.Quality | None:
    """The metric that matters most of those against `labels` or the `original`."""
    return next((each for each in metrics if each.against == against), None)
