"""What an entry of the zoo is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgemeter_converters.zoo.packages import Source

IMAGE_CLASSIFICATION = "image classification"
OBJECT_DETECTION = "object detection"
LANGUAGE = "language"
GENERATIVE = "generative"
LANGUAGE_MODEL = "language model"

APPLICATIONS = (IMAGE_CLASSIFICATION, OBJECT_DETECTION, LANGUAGE, GENERATIVE, LANGUAGE_MODEL)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A real model and data to judge it by.

    Attributes:
        name: also of its files, and what the model and the data are called once they were added.
        application: one of `APPLICATIONS`.
        summary: what it is, one line.
        sources: every package that its files come from.
        licence: of the weights, and of the data.
        origin: a paper or an address.
        model_suffix, data_suffix: of its files, as the coordinator knows them.
        write_model, write_data: make the files; may import what they like, and run in a process of their own.
        task: as `edgemeter model add --task` takes it.
        preprocessing: as `--preprocess` takes it, one for each input; none where none has any.
        recipes: to begin with.
        notes: what is honest to know about its figures.
    """

    name: str
    application: str
    summary: str
    sources: tuple[Source, ...]
    licence: str
    origin: str
    model_suffix: str
    write_model: Callable[[Path], object]
    write_data: Callable[[Path], object]
    task: str
    data_suffix: str = ".npz"
    preprocessing: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ("float32", "dynamic", "int8")
    notes: tuple[str, ...] = ()

    @property
    def model_name(self) -> str:
        """Of the model's file."""
        return f"{self.name}{self.model_suffix}"

    @property
    def data_name(self) -> str:
        """Of the data's file."""
        return f"{self.name}{self.data_suffix}"

    @property
    def download_mb(self) -> float:
        """Of its packages, each once."""
        return sum({source.package: source.size_mb for source in self.sources}.values())


def say(line: str) -> None:
    """How far making an entry is, for whoever watches: `fetching` passes it on."""
    print(f"{SAID}{line}", flush=True)


SAID = "edgemeter: "
"""Begins a line of `say`, amid what frameworks print."""
