"""Values as table cells."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from edgemeter_protos.v1 import variant_pb2

NONE = "-"


def size(size_bytes: int) -> str:
    """Decimal units: "93.1 kB"."""
    from edgemeter_coordinator.report.table import human_bytes

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
