"""A figure: ours beside a peer's, taken in turn in one run; only the ratio is worth keeping."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Medians of runs that alternated, and what the design wants of them."""

    what: str
    unit: str
    ours: float
    peer_name: str
    peer: float | None
    ratio: float | None
    """Median over the pairs of runs that were next to each other, not of the medians."""
    target: str
    met: bool | None
    note: str = ""


def median_ratio(ours: list[float], peer: list[float]) -> float:
    """The median of the ratios of neighbouring runs, which holds when the machine drifts."""
    return statistics.median(a / b for a, b in zip(ours, peer, strict=True))


def machine() -> str:
    """What the figures were measured on."""
    cpu = next(
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith(("model name", "Model"))
    )
    return (
        f"{cpu}, {os.cpu_count()} cores, Linux {platform.release()} {platform.machine()},"
        f" Python {platform.python_version()}"
    )
