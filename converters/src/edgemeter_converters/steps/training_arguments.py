"""The arguments of fine-tuning, which several steps share."""

from __future__ import annotations

from dataclasses import dataclass

from edgemeter_converters.steps.parameter import Arguments, Kind, Parameter


def fine_tuning(*, epochs: int, learning_rate: float) -> tuple[Parameter, ...]:
    """`epochs`, `lr`, `batch` and `seed` with a step's own defaults."""
    return (
        Parameter(
            name="epochs",
            kind=Kind.COUNT,
            high=1000,
            help="rounds of fine-tuning over the training samples; 0 for none, which needs no data",
            default=epochs,
        ),
        Parameter(
            name="lr", kind=Kind.NUMBER, low=1e-9, high=10, help="learning rate", default=learning_rate
        ),
        Parameter(name="batch", kind=Kind.COUNT, low=1, high=4096, help="samples a batch", default=32),
        Parameter(
            name="seed",
            kind=Kind.COUNT,
            high=2**31 - 1,
            help="of all that is random; the build's where left out",
        ),
    )


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How to fine-tune, read from a call's arguments.

    Attributes:
        epochs: 0 for none.
        learning_rate: of Adam, at its highest.
        batch_size: samples.
        seed: of shuffling and of what else is random.
    """

    epochs: int
    learning_rate: float
    batch_size: int
    seed: int


def read(arguments: Arguments, seed: int) -> FineTuning:
    """Args:
    seed: the build's, for a call that gives none.
    """
    epochs, rate, batch, own_seed = (arguments[name] for name in ("epochs", "lr", "batch", "seed"))
    assert isinstance(epochs, int)
    assert isinstance(rate, float)
    assert isinstance(batch, int)
    return FineTuning(
        epochs=epochs,
        learning_rate=rate,
        batch_size=batch,
        seed=own_seed if isinstance(own_seed, int) else seed,
    )
