"""A result's power readings, from the .npz that the board kept: thinned out to what a plot can show."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 1 << 28
"""Of a trace's arrays, uncompressed."""
MOST_POINTS = 600
"""Of one drawn line: about two a pixel column of a phone."""


class UnreadableTrace(Exception):
    """No power trace, or a damaged one; the message is one line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """`seconds` since the first reading, `watts` of the total; `windows` and `idle` in the same seconds."""

    seconds: Sequence[float]
    watts: Sequence[float]
    # (begin, end, kept)
    windows: Sequence[tuple[float, float, bool]]
    idle: Sequence[tuple[float, float]]


def read(path: Path) -> Trace | None:
    """None for a trace without readings. Nothing is unpickled. Raises UnreadableTrace."""
    try:
        with zipfile.ZipFile(path) as archive:
            size_bytes = sum(member.file_size for member in archive.infolist())
        if size_bytes > MAX_BYTES:
            raise UnreadableTrace(f"its arrays take {size_bytes} bytes, at most {MAX_BYTES} are read")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {
                name: archive[name]
                for name in ("power_monotonic_ns", "power_total_mw", "windows_ns", "windows_kept", "idle_ns")
                if name in archive.files
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError) as error:
        raise UnreadableTrace(f"it is no .npz file, or a damaged one ({error})") from error
    except (ValueError, SyntaxError, tokenize.TokenError, OverflowError, MemoryError) as error:
        raise UnreadableTrace(f"an array can't be read ({error})") from error
    return trace_of(arrays)


def trace_of(arrays: dict[str, NDArray[np.generic]]) -> Trace | None:
    """Of the arrays that result.proto names. Raises UnreadableTrace for shapes that are not theirs. Pure."""
    at_ns, mw = arrays.get("power_monotonic_ns"), arrays.get("power_total_mw")
    if at_ns is None or mw is None or len(at_ns.shape) != 1 or at_ns.shape != mw.shape:
        raise UnreadableTrace("power_monotonic_ns and power_total_mw are not there, or not alike")
    if not (np.issubdtype(at_ns.dtype, np.number) and np.issubdtype(mw.dtype, np.number)):
        raise UnreadableTrace("the readings are no numbers")
    if len(at_ns) == 0:
        return None
    begin = float(at_ns.astype(np.float64).min())
    seconds = (at_ns.astype(np.float64) - begin) / 1e9
    shown = thinned(seconds, mw.astype(np.float64) / 1000)
    windows = _spans(arrays.get("windows_ns"), begin)
    kept = arrays.get("windows_kept")
    flags = [bool(each) for each in kept] if kept is not None and len(kept) == len(windows) else None
    return Trace(
        seconds=[round(float(each), 4) for each in shown[0]],
        watts=[round(float(each), 4) for each in shown[1]],
        windows=[(*span, flags[index] if flags else True) for index, span in enumerate(windows)],
        idle=_spans(arrays.get("idle_ns"), begin),
    )


def thinned(
    at: NDArray[np.float64], values: NDArray[np.float64], most: int = MOST_POINTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most `most` points: of each of `most / 2` groups of neighbours the lowest and the highest, in the
    order in which they came, so that no peak is lost. Values that are no numbers are left out. Pure."""
    known = np.isfinite(at) & np.isfinite(values)
    at, values = at[known], values[known]
    if len(values) <= most:
        return at, values
    edges = np.linspace(0, len(values), most // 2 + 1).astype(int)
    chosen: list[int] = []
    for low, high in pairwise(edges.tolist()):
        if high > low:
            group = values[low:high]
            chosen += sorted({low + int(group.argmin()), low + int(group.argmax())})
    return at[chosen], values[chosen]


def _spans(spans: NDArray[np.generic] | None, begin: float) -> list[tuple[float, float]]:
    if spans is None or len(spans.shape) != 2 or spans.shape[1] != 2:
        return []
    return [
        (round((low - begin) / 1e9, 4), round((high - begin) / 1e9, 4))
        for low, high in spans.astype(np.float64).tolist()
    ]
