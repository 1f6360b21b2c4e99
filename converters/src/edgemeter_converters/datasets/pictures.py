"""Pictures as arrays: decoded, all of one size and of one kind."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.datasets.refusal import check_size, not_a_dataset
from edgemeter_converters.exceptions import ConversionError

if TYPE_CHECKING:
    from PIL import Image

_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "WEBP")
"""Named, since some of pillow's others start programs, such as Ghostscript."""

MAX_PIXELS = 64_000_000
"""Of one picture: more is a decompression bomb, or a mistake."""

_EIGHT_BIT_MODES = frozenset(
    {"1", "CMYK", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "YCbCr"}
)

_GREY_MODES = frozenset({"1", "L", "LA", "La"})

_ORIENTATION_TAG = 0x0112
_LYING = frozenset({5, 6, 7, 8})
"""EXIF orientations that swap height and width when the picture is set upright."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture that was not decoded yet.

    Attributes:
        name: what its user calls it.
        content: gives the file's bytes.
    """

    name: str
    content: Callable[[], bytes]


@dataclass(frozen=True, kw_only=True)
class _Header:
    height: int
    width: int
    is_grey: bool


def decode(pictures: Sequence[Picture], size: tuple[int, int] | None, file_name: str) -> NDArray[np.uint8]:
    """(pictures, height, width, channels): 1 channel where all are grey, else 3, red, green and blue.

    They stand upright, as EXIF says. What is transparent is shown as it would be without transparency.

    Args:
        size: height and width to bring them to: resized to cover it, bicubic, and cut at the centre. None
            where all have one size.

    Raises:
        ConversionError: NOT_A_DATASET naming the first picture that can't be read or differs in size;
            TOO_LARGE.
    """
    headers = [_header(picture, file_name) for picture in pictures]
    if size is None:
        _check_one_size(pictures, headers, file_name)
        size = headers[0].height, headers[0].width
    height, width = size
    channels = 1 if all(header.is_grey for header in headers) else 3
    check_size(file_name, "its pictures", len(pictures) * height * width * channels)
    decoded = np.empty((len(pictures), height, width, channels), np.uint8)
    for picture, into in zip(pictures, decoded, strict=True):
        with _opened(picture, file_name) as image:
            into[...] = _pixels(image, height, width, channels)
    return decoded


def cover(height: int, width: int, to_height: int, to_width: int) -> tuple[int, int]:
    """The size, of the same proportions, of which neither side is less than asked, and one is just that."""
    if height * to_width <= width * to_height:
        return to_height, max(to_width, round(width * to_height / height))
    return max(to_height, round(height * to_width / width)), to_width


def _check_one_size(pictures: Sequence[Picture], headers: Sequence[_Header], file_name: str) -> None:
    first = headers[0]
    for picture, header in zip(pictures, headers, strict=True):
        if (header.height, header.width) != (first.height, first.width):
            raise not_a_dataset(
                file_name,
                f"its pictures differ in size: {pictures[0].name!r} is {first.height}x{first.width} "
                f"(height x width), {picture.name!r} is {header.height}x{header.width}; "
                "say --image-size 224x224",
            )


def _header(picture: Picture, file_name: str) -> _Header:
    with _opened(picture, file_name) as image:
        if image.width * image.height > MAX_PIXELS:
            what = f"it is {image.height}x{image.width} pixels, at most {MAX_PIXELS:,} are read"
            raise not_a_dataset(file_name, f"picture {picture.name!r} can't be read: {what}")
        if image.mode not in _EIGHT_BIT_MODES:
            what = f"its pixels are of kind {image.mode}, not of 8 bits a channel: save it so"
            raise not_a_dataset(file_name, f"picture {picture.name!r} can't be read: {what}")
        lying = image.getexif().get(_ORIENTATION_TAG) in _LYING
        height, width = (image.width, image.height) if lying else (image.height, image.width)
        return _Header(height=height, width=width, is_grey=image.mode in _GREY_MODES)


@contextmanager
def _opened(picture: Picture, file_name: str) -> Iterator[Image.Image]:
    from PIL import Image

    content = picture.content()
    try:
        with warnings.catch_warnings():
            # What is odd in a file's metadata is no reason to refuse its pixels; a bomb is.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                yield image
    except (ConversionError, MemoryError):
        raise
    except Exception as error:  # whatever a decoder stumbles over in a damaged file: pillow names no set
        what = str(error) if len(content) else "it is empty"
        if isinstance(error, Image.UnidentifiedImageError) and len(content):
            what = f"it is none of {', '.join(_FORMATS)}"
        raise not_a_dataset(file_name, f"picture {picture.name!r} can't be read: {what}") from error


def _pixels(image: Any, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
    covering = cover(upright.height, upright.width, height, width)
    if covering != (upright.height, upright.width):
        upright = upright.resize((covering[1], covering[0]), Image.Resampling.BICUBIC)
    top, left = (covering[0] - height) // 2, (covering[1] - width) // 2
    pixels = np.asarray(upright, np.uint8)[top : top + height, left : left + width]
    return pixels.reshape(height, width, channels)
