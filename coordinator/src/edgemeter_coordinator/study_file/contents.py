"""What a study file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgemeter_protos import plans


@dataclass(frozen=True, kw_only=True)
class How:
    """By which recipes, and how measured; what is left out is said elsewhere.

    Attributes:
        recipes: the first is the baseline; empty where none are named.
        profile: None where none is named.
        plan: numbers of the plan by the names of the message Plan, each checked by itself.
    """

    recipes: tuple[str, ...] = ()
    profile: str | None = None
    plan: Mapping[str, plans.Value]


@dataclass(frozen=True, kw_only=True)
class Original:
    """A model, or data, as the file names it.

    Attributes:
        source: a zoo name, a path, "package.module:function" or what the coordinator knows it by; empty for
            the data that the model's zoo entry brings.
        line: of the file.
    """

    source: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Data(Original):
    """Attributes: as `Lab.add_dataset` takes them."""

    image_size: tuple[int, int] | None = None
    input_columns: tuple[str, ...] = ()
    label_column: str | None = None
    window_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Part:
    """One model by its recipes: one study.

    Attributes:
        line: of its [[part]].
        application: what the report groups it under; empty for the zoo entry's own.
        task, inputs, preprocess: as `Lab.add_model` takes them; empty for the zoo entry's own.
        how: what the part says itself.
        quick: what replaces that in a quick run; None where the part is left out of one.
    """

    name: str
    line: int
    application: str
    model: Original
    data: Data
    task: str
    inputs: tuple[str, ...]
    preprocess: tuple[str, ...]
    how: How
    quick: How | None


@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """Attributes:
    source: what messages call the file.
    how, quick: for every part that does not say otherwise.
    """

    source: str
    name: str
    about: str
    how: How
    quick: How
    parts: tuple[Part, ...]
