"""Numbers that follow from a manifest. Pure."""

from __future__ import annotations

from edgemeter_protos.v1 import variant_pb2


def bits_per_weight(manifest: variant_pb2.Manifest) -> float | None:
    """The file's bits over its parameters; None where it has none. More than the weights' own bits, since the
    graph and the scales are in the file too."""
    return 8 * manifest.size_bytes / manifest.parameters if manifest.parameters else None


def sparsity(manifest: variant_pb2.Manifest) -> float | None:
    """The share of the parameters that are zero, as counted in the file; None where it has none."""
    return 1 - manifest.non_zero_parameters / manifest.parameters if manifest.parameters else None


def value_of(quality: variant_pb2.Quality) -> float | None:
    """None where it could not be scored: its number stands for nothing then."""
    return None if quality.unscored_reason else quality.value
