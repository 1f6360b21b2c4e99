"""A folder of class folders of pictures, packed in a .zip.

`CLASS/PICTURE`, of which a fifth is set aside for evaluation, or `train/CLASS/PICTURE` and
`test/CLASS/PICTURE`. Labels count the sorted names of the classes, over both splits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

import numpy as np

from edgemeter_converters.datasets import layout, named_arrays
from edgemeter_converters.datasets.archive import Archive
from edgemeter_converters.datasets.dataset import Dataset
from edgemeter_converters.datasets.pictures import Picture, decode
from edgemeter_converters.datasets.refusal import check_reading, not_a_dataset, picture_size
from edgemeter_protos.v1 import lab_pb2


def read(archive: Archive, reading: lab_pb2.DataReading) -> Dataset:
    """Inputs are (pictures, height, width, channels), uint8; other files are ignored.

    Raises:
        ConversionError: NOT_A_DATASET, or TOO_LARGE.
    """
    check_reading(archive.file_name, reading, pictures=True)
    paths = [path for path in archive.entries if layout.is_picture(path)]
    top = layout.without_common_folder(paths)
    try:
        belongs = {path: layout.split_and_class(path.relative_to(top)) for path in paths}
        names = layout.array_names(split for split, _ in belongs.values())
    except ValueError as error:
        raise not_a_dataset(archive.file_name, str(error)) from error
    used = [path for path in paths if belongs[path][0] in names]
    class_names = sorted({belongs[path][1] for path in used})
    label_of = {name: label for label, name in enumerate(class_names)}
    decoded = decode(
        [Picture(name=str(path), content=_reader(archive, path)) for path in used],
        picture_size(reading),
        archive.file_name,
    )
    arrays = {"class_names": np.array(class_names)}
    origins = {}
    for split, name in names.items():
        chosen = [index for index, path in enumerate(used) if belongs[path][0] == split]
        arrays[name] = decoded[chosen]
        arrays[name.replace("x", "y", 1)] = np.array([label_of[belongs[used[index]][1]] for index in chosen])
        origins[name] = [str(used[index]) for index in chosen]
    try:
        return named_arrays.from_arrays(arrays, origins)
    except ValueError as error:
        raise not_a_dataset(archive.file_name, str(error)) from error


def _reader(archive: Archive, path: PurePosixPath) -> Callable[[], bytes]:
    return lambda: archive.read(path)
