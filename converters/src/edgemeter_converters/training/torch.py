"""Fine-tuning of torch modules: Adam, repeatable by its seed, taken up again after a killed worker."""

from __future__ import annotations

import hashlib
import io
import math
import pickle
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from edgemeter_converters.datasets.dataset import Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.steps.training_arguments import FineTuning
from edgemeter_converters.steps.transform import Context
from edgemeter_converters.training import checkpoint, schedule
from edgemeter_converters.training.torch_objective import Objective, call, takes_one_sample, tensors
from edgemeter_protos.v1 import refusal_pb2

PROGRESS_SECONDS = 1.0
"""Between two reports within an epoch."""


STATISTICS_BATCHES = 100
"""At most, that batch normalization's final statistics are taken over."""


class Hold:
    """What is done to the weights around each step of training; this one does nothing.

    A step's `total` is that of all epochs; steps are counted from 0.
    """

    def before_forward(self) -> None:
        """Before the loss is computed."""

    def after_backward(self) -> None:
        """When gradients are there, before the weights move."""

    def choose(self, step: int, total: int) -> None:
        """When the weights have moved: what to hold from now on."""

    def apply(self) -> None:
        """Makes the weights as they are to be held: after `choose`."""

    def state(self) -> dict[str, Any]:
        """Tensors and numbers that a checkpoint keeps."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up what `state` gave, after the weights themselves were restored."""


@dataclass(frozen=True, kw_only=True)
class History:
    """How fine-tuning went.

    Attributes:
        epochs: that were done, in this process and in earlier ones.
        first_loss, last_loss: means over the first and the last epoch; None where there was none.
        notes: what the user should know, a sentence each.
    """

    epochs: int = 0
    first_loss: float | None = None
    last_loss: float | None = None
    notes: tuple[str, ...] = ()


def fine_tune(
    module: Any,
    context: Context,
    tuning: FineTuning,
    *,
    hold: Hold | None = None,
    temperature: float | None = None,
    keep_statistics: bool = False,
) -> History:
    """Trains the module in place and leaves it in evaluation mode.

    Args:
        module: a copy of the caller's own; those of its parameters that require gradients are trained.
        hold: keeps the weights as a step wants them.
        temperature: to be taught by the original too, see `Objective`.
        keep_statistics: whether to train in evaluation mode: batch normalization keeps its statistics, and
            nothing is dropped out.

    Raises:
        ConversionError: no training samples, or the loss is no number any more.
    """
    if tuning.epochs == 0:
        module.eval()
        return History()
    samples = _samples(context, tuning)
    run = _Run(module, context, tuning, samples, hold or Hold(), temperature)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(tuning.seed)
        note = run.resume()
        while run.epoch < tuning.epochs:
            # A single sample has no statistics.
            module.train(not keep_statistics and min(tuning.batch_size, len(samples)) > 1)
            run.train_epoch()
            run.keep()
    module.eval()
    if not keep_statistics:
        run.settle_statistics()
    return History(
        epochs=run.epoch, first_loss=run.losses[0], last_loss=run.losses[-1], notes=(note,) if note else ()
    )


class _Run:
    """One fine-tuning: where it stands, and how it goes on."""

    def __init__(
        self,
        module: Any,
        context: Context,
        tuning: FineTuning,
        samples: Samples,
        hold: Hold,
        temperature: float | None,
    ) -> None:
        self.epoch = 0
        self.losses: list[float] = []
        self._module, self._context, self._tuning, self._samples = module, context, tuning, samples
        self._hold = hold
        self._objective = Objective(context.original, samples, context.task, temperature)
        self._one_by_one = takes_one_sample(context.original)
        self._parameters = [each for each in module.parameters() if each.requires_grad]
        self._optimizer = torch.optim.Adam(self._parameters, lr=tuning.learning_rate)
        self._settings = {
            "epochs": tuning.epochs,
            "learning_rate": tuning.learning_rate,
            "batch_size": tuning.batch_size,
            "seed": tuning.seed,
            "samples": len(samples),
            "temperature": temperature,
            "start": weights_digest(module),
        }
        self._told = -math.inf

    def train_epoch(self) -> None:
        batches = schedule.epoch_batches(
            len(self._samples), self._tuning.batch_size, self._tuning.seed, self.epoch
        )
        total = len(batches) * self._tuning.epochs
        loss_sum = 0.0
        for at, indices in enumerate(batches):
            step = self.epoch * len(batches) + at
            rate = schedule.learning_rate(step, total, self._tuning.learning_rate)
            loss_sum += self._train_batch(indices, rate)
            self._hold.choose(step, total)
            self._hold.apply()
            self._tell((step + 1) / total, loss_sum / (at + 1), last=at + 1 == len(batches))
        if not all(bool(torch.isfinite(each).all()) for each in self._parameters):
            schedule.check_loss(math.nan, self.epoch, self._tuning.learning_rate)
        self.losses.append(loss_sum / len(batches))
        self.epoch += 1

    def _train_batch(self, indices: Any, rate: float) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        inputs, labels = tensors(self._samples, indices), self._samples.labels
        wanted = None if labels is None else torch.from_numpy(labels[indices]).long()
        self._optimizer.zero_grad(set_to_none=True)
        self._hold.before_forward()
        outputs = call(self._module, inputs, self._one_by_one)
        loss = self._objective.loss(outputs, inputs, wanted)
        schedule.check_loss(float(loss.detach()), self.epoch, self._tuning.learning_rate)
        if not loss.requires_grad:
            raise ConversionError(
                "the module can't be trained: its outputs carry no gradient (it runs under torch.no_grad, or "
                "detaches them); epochs=0 goes without"
            )
        loss.backward()
        self._hold.after_backward()
        self._optimizer.step()
        return float(loss.detach())

    def keep(self) -> None:
        """Writes all that the next epoch depends on."""
        content = io.BytesIO()
        torch.save(
            {
                "module": self._module.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "random": torch.get_rng_state(),
                "epoch": self.epoch,
                "losses": self.losses,
                "hold": self._hold.state(),
            },
            content,
        )
        checkpoint.write(self._context.checkpoint_dir, self._settings, content.getvalue())

    def resume(self) -> str:
        """Goes back to where an earlier try was; says why not where one is there that can't be used."""
        found = checkpoint.read(self._context.checkpoint_dir, self._settings)
        if found.payload is None:
            return found.note
        try:
            state = torch.load(io.BytesIO(found.payload), weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError):
            return "A checkpoint of fine-tuning that can't be read was ignored: it started anew."
        self._module.load_state_dict(state["module"])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        self.epoch, self.losses = state["epoch"], state["losses"]
        self._hold.restore(state["hold"])
        return ""

    def settle_statistics(self) -> None:
        """Takes batch normalization's statistics anew: running averages lag behind weights that have moved
        much, for hundreds of steps where a network has a momentum of .01 (Li et al., EagleEye,
        arXiv:2007.02491, section 3)."""
        found = [each for each in self._module.modules() if isinstance(each, _BatchNorm)]
        layers = [each for each in found if each.track_running_stats]
        size = self._tuning.batch_size
        if not layers or min(size, len(self._samples)) < 2 or self._one_by_one:
            return
        momenta = [each.momentum for each in layers]
        for each in layers:
            each.reset_running_stats()
            each.momentum = None  # A plain mean over all batches.
            each.train()
        batches = schedule.epoch_batches(len(self._samples), size, self._tuning.seed, self._tuning.epochs)
        with torch.no_grad():
            for indices in batches[:STATISTICS_BATCHES]:
                call(self._module, tensors(self._samples, indices))
        for each, momentum in zip(layers, momenta, strict=True):
            each.momentum = momentum
            each.eval()

    def _tell(self, share: float, loss: float, *, last: bool) -> None:
        now = time.monotonic()
        if last or now - self._told >= PROGRESS_SECONDS:
            self._told = now
            self._context.progress(share, schedule.words(self.epoch, self._tuning.epochs, loss))


def _samples(context: Context, tuning: FineTuning) -> Samples:
    if context.training is None or len(context.training) == 0:
        raise ConversionError(
            f"fine-tuning for {tuning.epochs} epochs needs training samples: give data, or epochs=0",
            reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        )
    return context.training


def weights_digest(module: Any) -> str:
    """Of all weights and their names."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
