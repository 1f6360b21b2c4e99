"""What raw files of results are called, and which there are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgemeter_protos.v1 import lab_pb2

KINDS = ("samples", "outputs", "trace")
"""Every timed sample, the device's outputs, every power reading: one .npz each."""


def raw_files(responses: Iterable[lab_pb2.ListResultsResponse]) -> Iterator[tuple[str, str]]:
    """(file name, digest) of all raw data of results: "pi-a_int8@tflite_trace.npz".

    Those of attempts that lost their job have their number in the name.
    """
    for response in responses:
        late = f"_late{response.attempt}" if response.late else ""
        stem = f"{_safe(response.device.name)}_{_safe(response.manifest.recipe)}{late}"
        for kind in KINDS:
            digest = getattr(response.result, f"{kind}_digest")
            if digest:
                yield f"{stem}_{kind}.npz", digest


def _safe(text: str) -> str:
    """For a file's name on any system."""
    return "".join(letter if letter.isalnum() or letter in "-+@.,()=" else "-" for letter in text).strip(".")
