"""Short texts by subject: the categories of Debian's fortunes (BSD)."""

from __future__ import annotations

import numpy as np

from edgemeter_converters.zoo.packages import Source, fetch

SUBJECTS = ("computers", "food", "law", "love", "medicine", "science", "songs-poems", "sports")

SOURCE = Source(
    package="fortunes=1:1.99.1-7.3",
    members=tuple(f"*/fortunes/{subject}" for subject in SUBJECTS),
    sha256="d184e94269dd5abde982d1cc5f97803248ade3c3adafa2c03d72c4e570d1787f",
    size_mb=0.8,
)

SEED = 1


def of(subject: str) -> list[str]:
    """Its texts, shuffled once and for all: neighbours are often variations of one another. Raises
    FetchError."""
    lines = fetch(SOURCE)[subject].read_text(encoding="utf-8", errors="replace")
    texts = [each.strip() for each in lines.split("\n%\n")]
    texts = [each for each in texts if each]
    # RandomState: its stream is frozen for good (NEP 19).
    return [texts[at] for at in np.random.RandomState(SEED).permutation(len(texts))]
