"""Fine-tuning of language models: Adam over windows of text, repeatable by its seed, taken up again after a
killed worker."""

from __future__ import annotations

import io
import math
import pickle
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from edgemeter_converters.steps.transform import Context
from edgemeter_converters.training import checkpoint, schedule
from edgemeter_converters.training.torch import PROGRESS_SECONDS, History, Hold, weights_digest

WINDOWS_AT_ONCE = 4
"""Of a batch: gradients are summed over parts, since every token's scores are as many as the vocabulary."""

CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints: a step may take ten seconds, and a whole model's state gigabytes."""

LARGEST_GRADIENT = 1.0
"""Norm over all weights that a batch's gradient is clipped to (Pascanu et al., arXiv:1211.5063, section 3.2),
as is usual for language models."""

ENDS_SHARE = 0.1
"""Of all steps: first and last loss are means over so many."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to fine-tune.

    Attributes:
        steps: batches.
        learning_rate: of Adam, at its highest.
        batch_size: windows.
        seed: of the windows' order.
    """

    steps: int
    learning_rate: float
    batch_size: int
    seed: int


def planned(
    windows: int, *, epochs: int, learning_rate: float, batch_size: int, seed: int, steps: int | None = None
) -> Plan:
    """A plan of whole epochs, or of so many steps."""
    batch_size = min(batch_size, windows)
    whole = epochs * schedule.steps_per_epoch(windows, batch_size)
    return Plan(steps=steps or whole, learning_rate=learning_rate, batch_size=batch_size, seed=seed)


def fine_tune(
    module: Any, windows: NDArray[Any], context: Context, plan: Plan, hold: Hold | None = None
) -> History:
    """Trains those of the module's parameters that require gradients, in place.

    First and last loss, in nats a token, are means over the first and the last tenth of the steps.

    Args:
        module: gives logits for token ids, as transformers' `LlamaForCausalLM` does.
        windows: token ids, (windows, tokens).
        hold: keeps the weights as a step wants them.

    Raises:
        ConversionError: the loss is no number any more.
    """
    if plan.steps == 0:
        module.eval()
        return History()
    run = _Run(module, windows, context, plan, hold or Hold())
    note = run.resume()
    module.train()
    while run.step < plan.steps:
        run.train_step()
        run.keep_now_and_then()
    module.eval()
    ends = max(1, math.floor(ENDS_SHARE * plan.steps))
    return History(
        epochs=math.ceil(plan.steps / schedule.steps_per_epoch(len(windows), plan.batch_size)),
        first_loss=float(np.mean(run.losses[:ends])),
        last_loss=float(np.mean(run.losses[-ends:])),
        notes=(note,) if note else (),
    )


def mean_nll(module: Any, windows: NDArray[Any]) -> float:
    """Negative log-likelihood in nats a token, over all tokens but each window's first."""
    total = 0.0
    with torch.inference_mode():
        for first in range(0, len(windows), WINDOWS_AT_ONCE):
            total += float(_nll(module, windows[first : first + WINDOWS_AT_ONCE]))
    tokens: int = windows[:, 1:].size
    return total / tokens


class _Run:
    """One fine-tuning: where it stands, and how it goes on."""

    def __init__(self, module: Any, windows: NDArray[Any], context: Context, plan: Plan, hold: Hold) -> None:
        self.step = 0
        self.losses: list[float] = []
        self._module, self._windows, self._context, self._plan = module, windows, context, plan
        self._hold = hold
        self._trained = {name: each for name, each in module.named_parameters() if each.requires_grad}
        self._optimizer = torch.optim.Adam(self._trained.values(), lr=plan.learning_rate)
        self._settings = {
            "steps": plan.steps,
            "learning_rate": plan.learning_rate,
            "batch_size": plan.batch_size,
            "seed": plan.seed,
            "windows": len(windows),
            "start": weights_digest(module),
        }
        self._told, self._kept = -math.inf, time.monotonic()
        self._epoch, self._batches = -1, [np.zeros(0, dtype=np.int64)]

    def train_step(self) -> None:
        epoch, at = divmod(self.step, schedule.steps_per_epoch(len(self._windows), self._plan.batch_size))
        if epoch != self._epoch:
            self._epoch = epoch
            self._batches = schedule.epoch_batches(
                len(self._windows), self._plan.batch_size, self._plan.seed, epoch
            )
        rate = schedule.learning_rate(self.step, self._plan.steps, self._plan.learning_rate)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss = self._backward(self._batches[at])
        schedule.check_loss(loss, epoch, self._plan.learning_rate)
        self._hold.after_backward()
        torch.nn.utils.clip_grad_norm_(self._trained.values(), LARGEST_GRADIENT)
        self._optimizer.step()
        self._hold.choose(self.step, self._plan.steps)
        self._hold.apply()
        self.losses.append(loss)
        self.step += 1
        self._tell(loss)

    def _backward(self, indices: NDArray[Any]) -> float:
        """The batch's loss, its gradients added up part by part."""
        self._optimizer.zero_grad(set_to_none=True)
        self._hold.before_forward()
        tokens = len(indices) * (self._windows.shape[1] - 1)
        total = 0.0
        for first in range(0, len(indices), WINDOWS_AT_ONCE):
            part = _nll(self._module, self._windows[indices[first : first + WINDOWS_AT_ONCE]]) / tokens
            part.backward()
            total += float(part.detach())
        return total

    def keep_now_and_then(self) -> None:
        """Writes all that the next step depends on, unless it was written a moment ago."""
        if time.monotonic() - self._kept < CHECKPOINT_SECONDS or self.step == self._plan.steps:
            return
        content = io.BytesIO()
        torch.save(
            {
                "weights": {name: each.detach() for name, each in self._trained.items()},
                "optimizer": self._optimizer.state_dict(),
                "step": self.step,
                "losses": self.losses,
                "hold": self._hold.state(),
            },
            content,
        )
        checkpoint.write(self._context.checkpoint_dir, self._settings, content.getvalue())
        self._kept = time.monotonic()

    def resume(self) -> str:
        """Goes back to where an earlier try was; says why not where one is there that can't be used."""
        found = checkpoint.read(self._context.checkpoint_dir, self._settings)
        if found.payload is None:
            return found.note
        try:
            state = torch.load(io.BytesIO(found.payload), weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError):
            return "A checkpoint of fine-tuning that can't be read was ignored: it started anew."
        with torch.no_grad():
            for name, each in self._trained.items():
                each.copy_(state["weights"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.losses = state["step"], state["losses"]
        self._hold.restore(state["hold"])
        return ""

    def _tell(self, loss: float) -> None:
        now = time.monotonic()
        if self.step == self._plan.steps or now - self._told >= PROGRESS_SECONDS:
            self._told = now
            words = f"fine-tuning, step {self.step} of {self._plan.steps}, loss {loss:.3g}"
            self._context.progress(self.step / self._plan.steps, words)


def _nll(module: Any, windows: NDArray[Any]) -> Any:
    """Summed over all tokens but each window's first, as a tensor that can be differentiated."""
    ids = torch.from_numpy(windows.astype(np.int64))
    logits = module(input_ids=ids, use_cache=False).logits[:, :-1]
    return functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")
