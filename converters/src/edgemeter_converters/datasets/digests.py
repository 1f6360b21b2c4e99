"""Digests of samples and of splits: lower-case hexadecimal SHA-256. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.datasets.dataset import Inputs, Samples


def sample_digests(inputs: Inputs) -> Iterator[bytes]:
    """Of each sample's inputs, in order. Equal for equal samples of one element type and shape.

    A gigabyte or a million samples a second, whichever is less.
    """
    views = [_by_sample(array) for array in inputs]
    for index in range(len(inputs[0])):
        digest = hashlib.sha256()
        for view, size_bytes in views:
            digest.update(view[index * size_bytes : (index + 1) * size_bytes])
        yield digest.digest()


def sample_digest(inputs: Inputs, index: int) -> bytes:
    """Of one sample's inputs; as `sample_digests`."""
    digest = hashlib.sha256()
    for array in inputs:
        digest.update(np.ascontiguousarray(array[index]).data.cast("B"))
    return digest.digest()


def inputs_digest(inputs: Inputs) -> str:
    """Of a split's inputs in their order, with their element type and shape."""
    digest = hashlib.sha256()
    for array in inputs:
        _update(digest, array)
    return digest.hexdigest()


def samples_digest(samples: Samples) -> str:
    """Of a split's inputs and labels."""
    digest = hashlib.sha256(inputs_digest(samples.inputs).encode())
    if samples.labels is not None:
        _update(digest, samples.labels)
    return digest.hexdigest()


def _by_sample(array: NDArray[Any]) -> tuple[memoryview, int]:
    """An array's bytes, and how many of them a sample takes."""
    contiguous = np.ascontiguousarray(array)
    size_bytes = contiguous.nbytes // len(contiguous) if len(contiguous) else 0
    return contiguous.reshape(-1).view(np.uint8).data, size_bytes


def _update(digest: hashlib._Hash, array: NDArray[Any]) -> None:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    digest.update(f"{little.dtype.str}{little.shape}".encode())
    # reshape: a memoryview of no dimensions or of no elements can't be cast.
    digest.update(little.reshape(-1).view(np.uint8).data)
