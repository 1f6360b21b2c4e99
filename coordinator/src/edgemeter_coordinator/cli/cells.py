"""Values as table cells."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from edgemeter_protos.v1 import variant_pb2

NONE = "-"


def size(size_bytes: int) -> str:
    """Decimal units: "93.1 kB"."""
    from edgemeter_protos.report.units import human_bytes

    return human_bytes(size_bytes)


def digest(text: str) -> str:
    """Its first twelve digits: enough to name it by."""
    return text[:12]


def labels(pairs: Mapping[str, str]) -> str:
    """ "board=pi5 rack=a"."""
    return " ".join(f"{key}={value}" for key, value in sorted(pairs.items())) or NONE


def tensors(specs: Iterable[variant_pb2.TensorSpec]) -> str:
    """ "28x28x1 uint8, …"; a free dimension is "?"."""
    return ", ".join(
        f"{'x'.join('?' if length < 0 else str(length) for length in spec.shape) or 'scalar'} {spec.dtype}"
        for spec in specs
    )


def duration(duration_ms: float) -> str:
    """ "0.4 s", "12 s", "3 min", "2.5 h"."""
    seconds = duration_ms / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(number: int) -> str:
    """ "2,270,000"; "-" for 0, which stands for "could not be counted"."""
    return f"{number:,}" if number else NONE


def quality(one: variant_pb2.Quality) -> str:
    """ "top1 0.9350 (0.8920 to 0.9610, n 200)"; why not, where it could not be scored."""
    bounds = (
        f"{one.ci95_low:.4f} to {one.ci95_high:.4f}, "
        if one.HasField("ci95_low") and one.HasField("ci95_high")
        else ""
    )
    return one.unscored_reason or f"{one.metric} {one.value:.4f} ({bounds}n {one.samples})"


def requirement(need: variant_pb2.RuntimeRequirement) -> str:
    """ "litert >=1.0 <2.0"."""
    bounds = ((">=", need.min_version), ("<", need.below_version))
    return " ".join((need.runtime, *(f"{sign}{version}" for sign, version in bounds if version)))


def ago(unix_ms: int, *, now_ms: float | None = None) -> str:
    """ "12 s ago", "3 h ago"; in the future "in 59 min"; "-" for 0."""
    if not unix_ms:
        return NONE
    now_ms = time.time() * 1000 if now_ms is None else now_ms
    away_s = (now_ms - unix_ms) / 1000
    distance_s = abs(away_s)
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if distance_s >= length_s:
            text = f"{distance_s / length_s:.0f} {unit}"
            break
    else:
        text = f"{distance_s:.0f} s"
    return f"{text} ago" if away_s >= 0 else f"in {text}"
