"""Weight sharing in torch modules: each layer's weights take a few values, which are then trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from edgemeter_converters.compress import kmeans
from edgemeter_converters.compress.torch.layers import Weight, transformed, weights, writable_copy
from edgemeter_converters.compress.torch.zeros import zeros_of
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import training_arguments
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_converters.training.torch import Hold, fine_tune


def apply(model: LoadedModel, context: Context) -> Transformed:
    """A model each of whose weight matrices, embeddings among them, has at most so many different values.

    Zeros that an earlier step made stay zero, as one of the values.

    Raises:
        ConversionError: the model has no such weights, or fine-tuning failed.
    """
    clusters = context.arguments["clusters"]
    assert isinstance(clusters, int)
    module = writable_copy(model)
    every = weights(module, embeddings=True)
    if not every:
        raise ConversionError("cluster: the model has no weights of layers to share values")
    shared = SharedValues(every, clusters, frozenset(zeros_of(module).kept))
    shared.apply()
    history = fine_tune(
        module, context, training_arguments.read(context.arguments, context.seed), hold=shared
    )
    return Transformed(
        model=transformed(model, module),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=history.notes,
    )


class SharedValues(Hold):
    """Keeps all weights of a cluster equal; a centroid's gradient is the sum of its weights' (Han et al.,
    arXiv:1510.00149, section 3.3)."""

    def __init__(self, each_weight: Iterable[Weight], clusters: int, with_zeros: frozenset[str]) -> None:
        self._each_weight = tuple(each_weight)
        self._with_zeros = with_zeros
        self._indices: dict[str, Any] = {}
        self._centroids: dict[str, Any] = {}
        for each in self._each_weight:
            indices, centroids = kmeans.cluster(
                each.parameter.detach().numpy(), clusters, hold_zero=each.name in with_zeros
            )
            self._indices[each.name] = torch.from_numpy(indices)
            self._centroids[each.name] = torch.from_numpy(centroids).to(each.parameter.dtype)

    def apply(self) -> None:
        """Writes the centroids."""
        with torch.no_grad():
            for each in self._each_weight:
                each.parameter.copy_(self._centroids[each.name][self._indices[each.name]])

    def after_backward(self) -> None:
        for each in self._each_weight:
            if each.parameter.grad is not None:
                each.parameter.grad.copy_(self._sums(each, each.parameter.grad)[self._indices[each.name]])

    def choose(self, step: int, total: int) -> None:  # noqa: ARG002
        # Equal gradients moved a cluster's weights alike, up to the last bit of vectorized arithmetic.
        with torch.no_grad():
            for each in self._each_weight:
                counts = self._sums(each, torch.ones_like(each.parameter))
                centroids = self._sums(each, each.parameter) / counts
                if each.name in self._with_zeros:
                    centroids[0] = 0.0
                self._centroids[each.name] = centroids.to(each.parameter.dtype)

    def state(self) -> dict[str, Any]:
        return {"indices": self._indices, "centroids": self._centroids}

    def restore(self, state: dict[str, Any]) -> None:
        self._indices, self._centroids = state["indices"], state["centroids"]

    def _sums(self, weight: Weight, values: Any) -> Any:
        """Of each cluster, in double precision: a layer has many weights, and floats little room."""
        indices = self._indices[weight.name].reshape(-1)
        sums = torch.zeros(len(self._centroids[weight.name]), dtype=torch.float64)
        sums.index_add_(0, indices, values.detach().reshape(-1).double())
        return sums
