"""llama.cpp: language models in GGUF files, on the processor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgemeter_agent.runtimes import language, language_models
from edgemeter_agent.runtimes.llama_library import Context, Library

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import LoadedModel, LoadOptions

ARENA = "llama.cpp's functions do not tell what its buffers hold"

MAGIC = b"GGUF"

LIBRARIES: dict[str, Library] = {}
"""By import package: its log goes to one place for the whole process."""


def loader(package: str) -> Callable[[str, LoadOptions], LoadedModel]:
    """Raises ImportError."""
    if package not in LIBRARIES:
        LIBRARIES[package] = Library(package)
    library = LIBRARIES[package]
    ran_on = f"CPU ({package})"

    def load(artifact_path: str, options: LoadOptions) -> LoadedModel:
        language.check_options("llama.cpp", options)
        with Path(artifact_path).open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ValueError(f"it is no GGUF file: it does not begin with {MAGIC.decode()}")
        make_context = partial(Context, library, artifact_path, threads=options.threads)
        return language_models.loaded(make_context, options, ran_on)

    return load
