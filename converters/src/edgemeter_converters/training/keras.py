"""Fine-tuning Keras models on TensorFlow. For conversion workers only."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.steps.training_arguments import FineTuning
from edgemeter_converters.steps.transform import Context
from edgemeter_converters.training import checkpoint, schedule
from edgemeter_converters.training.keras_hooks import Hook
from edgemeter_converters.training.keras_objective import Objective, objective

PROGRESS_S = 10.0
"""Seconds after which progress is told within an epoch."""


@dataclass(frozen=True, kw_only=True)
class History:
    """What fine-tuning came to.

    Attributes:
        epochs: done, those before a restart included.
        first_loss, last_loss: means over the first and the last epoch; None for no epoch.
        notes: for the user, a sentence each.
    """

    epochs: int = 0
    first_loss: float | None = None
    last_loss: float | None = None
    notes: tuple[str, ...] = ()


def fine_tune(
    network: Any,
    context: Context,
    tuning: FineTuning,
    *,
    hooks: Sequence[Hook] = (),
    imitate: bool = False,
) -> History:
    """Trains a network in place: on the labels where they are classes and there are some, else on
    what the original answers.

    The loss on labels is cross-entropy; without labels a classifier's is the Kullback-Leibler divergence from
    the original's probabilities, any other's the squared error, each output's as a share of its variance. A
    checkpoint is written after each epoch, and one of the same run is gone on from.

    Args:
        network: with the signature of the original; may have layers that only training has.
        hooks: called after each step.
        imitate: with labels: on the original's answers too.

    Raises:
        ConversionError: the loss or a weight is not a number.
    """
    if tuning.epochs == 0:
        return History()
    samples = context.training
    assert samples is not None, "a step with epochs is given training samples"
    run = _Run(network, context, tuning, hooks, imitate)
    return run.train()


class _Run:
    def __init__(
        self, network: Any, context: Context, tuning: FineTuning, hooks: Sequence[Hook], imitate: bool
    ) -> None:
        import keras

        assert context.training is not None
        self._network, self._context, self._tuning, self._hooks = network, context, tuning, hooks
        self._inputs = context.training.inputs
        self._samples = len(context.training)
        self._steps = schedule.steps_per_epoch(self._samples, tuning.batch_size)
        self._total = self._steps * tuning.epochs
        self._objective = objective(context, imitate)
        self._variables = list(network.trainable_variables)
        self._optimizer = keras.optimizers.Adam(tuning.learning_rate)
        self._optimizer.build(self._variables)
        self._seed_random_layers()
        self._settings = self._describe(imitate)

    def train(self) -> History:
        losses, notes = self._resume()
        step = _compiled_step(self._network, self._objective, self._optimizer, self._variables, self._hooks)
        with _quick_averages(self._network, self._total):
            for epoch in range(len(losses), self._tuning.epochs):
                losses.append(self._epoch(epoch, step))
                self._save(losses)
                self._tell((epoch + 1) * self._steps, epoch, losses[-1])
        return History(epochs=len(losses), first_loss=losses[0], last_loss=losses[-1], notes=notes)

    def _epoch(self, epoch: int, step: Callable[..., Any]) -> float:
        total, told_s = 0.0, time.monotonic()
        batches = schedule.epoch_batches(self._samples, self._tuning.batch_size, self._tuning.seed, epoch)
        for at, batch in enumerate(batches):
            number = epoch * self._steps + at
            self._optimizer.learning_rate.assign(
                schedule.learning_rate(number, self._total, self._tuning.learning_rate)
            )
            loss = float(step([each[batch] for each in self._inputs], self._objective.targets(batch)))
            schedule.check_loss(loss, epoch, self._tuning.learning_rate)
            for hook in self._hooks:
                hook.after_step(number, self._total)
            total += loss
            if at + 1 < len(batches) and time.monotonic() - told_s > PROGRESS_S:
                told_s = time.monotonic()
                self._tell(number + 1, epoch, total / (at + 1))
        if not all(np.isfinite(each).all() for each in self._network.get_weights()):
            # A rectifier makes zeros of what is no number, and hides it from the loss.
            raise ConversionError(
                f"fine-tuning diverged (a weight is no number after epoch {epoch + 1}): "
                f"lower lr={self._tuning.learning_rate:g}, nothing is kept"
            )
        return total / len(batches)

    def _tell(self, steps: int, epoch: int, loss: float) -> None:
        self._context.progress(steps / self._total, schedule.words(epoch, self._tuning.epochs, loss))

    def _seed_random_layers(self) -> None:
        """Dropout draws from states that are seeded by the clock unless a model's author did it."""
        weights = {id(each) for each in self._network.weights}
        states = [each for each in self._network.variables if id(each) not in weights]
        for at, state in enumerate(states):
            if "seed_generator" in state.path and tuple(state.shape) == (2,):
                state.assign(np.array([self._tuning.seed, at], dtype=state.dtype))

    def _describe(self, imitate: bool) -> dict[str, object]:
        """All that the run depends on: a checkpoint of another one is of no use."""
        digest = hashlib.sha256()
        for weights in (*self._network.get_weights(), *self._inputs, *self._objective.data):
            digest.update(np.ascontiguousarray(weights).data.cast("B"))
        return {
            "epochs": self._tuning.epochs,
            "learning_rate": self._tuning.learning_rate,
            "batch_size": self._tuning.batch_size,
            "seed": self._tuning.seed,
            "imitate": imitate,
            "arguments": {name: str(value) for name, value in self._context.arguments.items()},
            "start": digest.hexdigest(),
        }

    def _save(self, losses: Sequence[float]) -> None:
        arrays = {"losses": np.array(losses)}
        arrays |= {f"variable {at}": np.asarray(each) for at, each in enumerate(self._network.variables)}
        arrays |= {f"optimizer {at}": np.asarray(each) for at, each in enumerate(self._optimizer.variables)}
        for at, hook in enumerate(self._hooks):
            arrays |= {f"hook {at} {name}": value for name, value in hook.state().items()}
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **arrays)
        checkpoint.write(self._context.checkpoint_dir, self._settings, stream.getvalue())

    def _resume(self) -> tuple[list[float], tuple[str, ...]]:
        """The losses of the epochs that are done, their weights restored; and what to tell of it."""
        found = checkpoint.read(self._context.checkpoint_dir, self._settings)
        if found.payload is None:
            return [], (found.note,) if found.note else ()
        with np.load(io.BytesIO(found.payload), allow_pickle=False) as arrays:
            for at, variable in enumerate(self._network.variables):
                variable.assign(arrays[f"variable {at}"])
            for at, variable in enumerate(self._optimizer.variables):
                variable.assign(arrays[f"optimizer {at}"])
            for at, hook in enumerate(self._hooks):
                start = f"hook {at} "
                hook.restore({each.removeprefix(start): arrays[each] for each in arrays if start in each})
            losses = [float(each) for each in arrays["losses"]]
        return losses, (f"Fine-tuning went on after epoch {len(losses)}, where a worker was lost.",)


def _compiled_step(
    network: Any, wanted: Objective, optimizer: Any, variables: Sequence[Any], hooks: Sequence[Hook]
) -> Callable[[list[NDArray[Any]], list[NDArray[Any]]], Any]:
    import keras
    import tensorflow as tf

    def step(inputs: list[Any], targets: list[Any]) -> Any:
        with tf.GradientTape() as tape:
            packed = keras.tree.pack_sequence_as(network.input, inputs)
            loss = wanted.loss(keras.tree.flatten(network(packed, training=True)), targets)
        gradients = tape.gradient(loss, [each.value for each in variables])
        seen = []
        for variable, gradient in zip(variables, gradients, strict=True):
            # None where no output depends on it; slices of an embedding.
            changed = tf.zeros_like(variable.value) if gradient is None else tf.convert_to_tensor(gradient)
            for hook in hooks:
                changed = hook.gradient(variable, changed)
            seen.append(changed)
        optimizer.apply(seen)
        return loss

    compiled = tf.function(step, autograph=False)
    return lambda inputs, targets: compiled(
        [tf.constant(each) for each in inputs], [tf.constant(each) for each in targets]
    )


@contextmanager
def _quick_averages(network: Any, total_steps: int) -> Iterator[None]:
    """Batch normalization's averages follow within a tenth of the run: after a short run, Keras's usual
    0.99 would still remember the network as it was before it was compressed."""
    layers = [each for each in network._flatten_layers() if type(each).__name__ == "BatchNormalization"]
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = min(layer.momentum, max(0.9, 1 - 10 / total_steps))
    try:
        yield
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum
