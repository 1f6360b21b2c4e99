"""Pictures, too few to train with: twenty of ImageNet and twenty of CIFAR-10, labelled, and photographs.

From foolbox 3.3.4 (MIT), whose files are named NUMBER_LABEL. One picture is five points of accuracy: look at
how often a variant agrees with its original too. Pictures to calibrate with come from elsewhere, so that none
that calibrated is evaluated: foolbox's of CIFAR-100, and photographs of scikit-image 0.26.0 (BSD-3-Clause).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.zoo.packages import Source, fetch

FOOLBOX = "foolbox==3.3.4"
SCIKIT_IMAGE = "scikit-image==0.26.0"

OF_IMAGENET = 20

IMAGENET = Source(
    package=FOOLBOX,
    members=("foolbox/data/imagenet_*.jpg",),
    sha256="ec8fe97936a118cac0230e9387d3d277c0e998ad76653c2c9f31e7b2bff773ca",
    size_mb=1.7,
)
CIFAR10 = Source(
    package=FOOLBOX,
    members=("foolbox/data/cifar10_*.png",),
    sha256="4b5fb1a9f4de900517d28478f00684bde9297a9c09b9f09ed8f2998c0eb6b02d",
    size_mb=1.7,
)
CIFAR100 = Source(
    package=FOOLBOX,
    members=("foolbox/data/cifar100_*.png",),
    sha256="18b18cf7061beafa8a1d244d6b28248a48120f827b2c9d9ce1bc81e7f048d418",
    size_mb=1.7,
)
PHOTOGRAPHS = Source(
    package=SCIKIT_IMAGE,
    members=tuple(
        f"skimage/data/{name}"
        for name in ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
    ),
    sha256="ffc37ed45890a8541612c5d6423336ae9d6a1437b938f839acda7b5d55ea6fd2",
    size_mb=13.7,
)

STILLS = Source(
    package=SCIKIT_IMAGE,
    members=tuple(
        f"skimage/data/{name}" for name in ("chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
    ),
    sha256="5ec7dee8585f5a258982fb3d2b121963ca2f4773b375a4b36355b257b3ece765",
    size_mb=13.7,
)
"""Photographs that show nobody."""
TO_ENLARGE = Source(
    package=SCIKIT_IMAGE,
    members=tuple(f"skimage/data/{name}" for name in ("chelsea.png", "coffee.png", "motorcycle_left.png")),
    sha256="0091f1a217f8583b725e7212fcec3596d55d1c76d9508e8683e52a5ea9bfde98",
    size_mb=13.7,
)
PEOPLE = Source(
    package=SCIKIT_IMAGE,
    members=("skimage/data/astronaut.png", "skimage/data/camera.png"),
    sha256="de82a1717f160310226d58e1132a86b60aad6cb29fe13ad083f9f5f0cadc42b9",
    size_mb=13.7,
)
"""Photographs that show somebody."""


def write_cifar(path: Path) -> Path:
    """An .npz: `x_test` (20, 32, 32, 3) uint8 with `y_test`, and `x_train` (20, 32, 32, 3), unlabelled."""
    test, labels = _labelled(CIFAR10)
    train, _ = _labelled(CIFAR100)
    np.savez(path, allow_pickle=False, x_train=np.stack(train), x_test=np.stack(test), y_test=labels)
    return path


def write_imagenet(path: Path, side: int = 224) -> Path:
    """An .npz: `x_test` (20, side, side, 3) uint8 with `y_test`, and `x_train` (25, …), unlabelled."""
    test, labels = _labelled(IMAGENET)
    np.savez(
        path,
        allow_pickle=False,
        x_train=_squares_of(PHOTOGRAPHS, side),
        x_test=np.stack([resized(_centre(each), side) for each in test]),
        y_test=labels,
    )
    return path


def write_unlabelled(path: Path, side: int, *, also: Source | None = None) -> Path:
    """An .npz: `x_test` (20 or more, side, side, 3) uint8, ImageNet's pictures and squares of those `also`
    to be seen; `x_train` (20 or more, …), squares of other photographs."""
    test = [resized(_centre(each), side) for each in _labelled(IMAGENET)[0]]
    if also is not None:
        test += list(_squares_of(also, side))
    train = _squares_of(PHOTOGRAPHS if also is None else STILLS, side)
    np.savez(path, allow_pickle=False, x_train=train, x_test=np.stack(test))
    return path


def decoded(source: Source) -> list[NDArray[np.uint8]]:
    """(height, width, 3) of each of its files, in the order of their names. Raises FetchError."""
    return [_one(file) for file in fetch(source).values()]


def resized(picture: NDArray[Any], side: int) -> NDArray[np.uint8]:
    """(side, side, 3), bicubically."""
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


def _squares_of(source: Source, side: int) -> NDArray[np.uint8]:
    """Five squares of each photograph."""
    squares = [square for each in decoded(source) for square in _squares(each)]
    return np.stack([resized(each, side) for each in squares])


def _labelled(source: Source) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
    """Pictures and labels, in the order of the files' numbers."""
    files = fetch(source)
    pictures = [_one(path) for path in files.values()]
    return pictures, np.array([int(Path(name).stem.rpartition("_")[2]) for name in files], np.int64)


def _one(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _centre(picture: NDArray[Any]) -> NDArray[Any]:
    side = min(picture.shape[:2])
    top, left = ((size - side) // 2 for size in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def _squares(picture: NDArray[Any]) -> list[NDArray[Any]]:
    """The middle, and the four corners at two thirds of its side."""
    height, width = picture.shape[:2]
    side = 2 * min(height, width) // 3
    corners = [(top, left) for top in (0, height - side) for left in (0, width - side)]
    cut = [picture[top : top + side, left : left + side] for top, left in corners]
    return [_centre(picture), *cut]
