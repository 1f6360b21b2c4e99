from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgemeter_converters import datasets
from edgemeter_converters.datasets import folder, pictures, refusal
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import lab_pb2, refusal_pb2

NOT_A_DATASET = refusal_pb2.REFUSAL_REASON_NOT_A_DATASET
TOO_LARGE = refusal_pb2.REFUSAL_REASON_TOO_LARGE
SIZE_8 = lab_pb2.DataReading(image_height=8, image_width=8)


def pixels(seed: int, height: int = 8, width: int = 6, channels: int = 3) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def encoded(array: Any, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(stream, kind, **options)
    return stream.getvalue()


def packed(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def refused(path: Path, reading: lab_pb2.DataReading | None = None) -> ConversionError:
    with pytest.raises(ConversionError) as caught:
        datasets.read(path, "pets.zip", reading)
    assert "\n" not in caught.value.message
    return caught.value


def test_splits_by_folder_and_labels_by_class(tmp_path: Path) -> None:
    files = {
        f"{split}/{name}/{number}.png": encoded(pixels(seed))
        for seed, (split, name, number) in enumerate(
            [
                ("train", "dog", 1),
                ("train", "cat", 1),
                ("train", "cat", 2),
                ("test", "cat", 1),
                ("test", "emu", 1),
            ]
        )
    }
    dataset = datasets.read(packed(tmp_path / "blob", files), "pets.zip")
    assert dataset.class_names == ("cat", "dog", "emu")
    assert dataset.classes == 3
    assert dataset.training.labels is not None
    assert dataset.training.labels.tolist() == [0, 0, 1]
    assert dataset.evaluation.labels is not None
    assert dataset.evaluation.labels.tolist() == [0, 2]
    np.testing.assert_array_equal(dataset.training.inputs[0], [pixels(1), pixels(2), pixels(0)])
    np.testing.assert_array_equal(dataset.evaluation.inputs[0], [pixels(3), pixels(4)])


@pytest.mark.parametrize("top", ["", "pets/", "data/pets/"])
def test_one_level_of_classes_is_split(top: str, tmp_path: Path) -> None:
    files = {f"{top}{name}/{n}.png": encoded(pixels(n + 100 * ord(name))) for name in "ab" for n in range(10)}
    files |= {f"{top}.DS_Store": b"x", f"__MACOSX/{top}a/._1.png": b"x", f"{top}a/notes.txt": b"x"}
    dataset = datasets.read(packed(tmp_path / "blob", files), "pets.zip")
    assert (len(dataset.training), len(dataset.evaluation)) == (16, 4)
    assert dataset.class_names == ("a", "b")


def test_validation_evaluates_where_nothing_tests(tmp_path: Path) -> None:
    def files(*splits: str) -> dict[str, bytes]:
        names = [(split, name) for split in splits for name in "ab"]
        return {f"{split}/{name}/1.png": encoded(pixels(seed)) for seed, (split, name) in enumerate(names)}

    dataset = datasets.read(packed(tmp_path / "two", files("training", "val")), "pets.zip")
    np.testing.assert_array_equal(dataset.evaluation.inputs[0], [pixels(2), pixels(3)])
    dataset = datasets.read(packed(tmp_path / "three", files("Train", "Validation", "Test")), "pets.zip")
    assert len(dataset.training) == 2
    np.testing.assert_array_equal(dataset.evaluation.inputs[0], [pixels(4), pixels(5)])


@pytest.mark.parametrize(
    ("images", "channels"),
    [
        pytest.param([pixels(1, channels=1), pixels(2, channels=1)], 1, id="all grey"),
        pytest.param([pixels(1, channels=1), pixels(2)], 3, id="one in colour"),
        pytest.param([pixels(1, channels=4), pixels(2)], 3, id="transparency is dropped"),
        pytest.param([Image.fromarray(pixels(1)).convert("P"), pixels(2)], 3, id="a palette"),
        pytest.param(
            [Image.fromarray(pixels(1, channels=1)).convert("LA"), pixels(2, channels=1)], 1, id="LA"
        ),
        pytest.param([Image.new("1", (6, 8)), pixels(2, channels=1)], 1, id="black and white"),
    ],
)
def test_grey_or_colour_by_what_all_are(images: list[Any], channels: int, tmp_path: Path) -> None:
    files = {
        f"{split}/{name}/1.png": encoded(image)
        for split, image in zip(("train", "test"), images, strict=True)
        for name in "a"
    }
    dataset = datasets.read(packed(tmp_path / "blob", files), "pets.zip")
    for split, image in ((dataset.training, images[0]), (dataset.evaluation, images[1])):
        assert split.inputs[0].shape == (1, 8, 6, channels)
        assert split.inputs[0].dtype == np.uint8
        opened = image if isinstance(image, Image.Image) else Image.fromarray(image)
        shown = np.asarray(opened.convert("L" if channels == 1 else "RGB"))
        np.testing.assert_array_equal(split.inputs[0][0], shown.reshape(8, 6, channels))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "WEBP", "JPEG"])
def test_kinds_of_pictures(kind: str, tmp_path: Path) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    ramp = np.mgrid[0:16, 0:16].sum(axis=0).astype(np.uint8)[..., None] * np.array([8, 4, 2], np.uint8)
    suffix = "JPG" if kind == "JPEG" else kind.lower()
    files = {
        f"{name}/1.{suffix}": encoded(array, kind, **options)
        for name, array in (("a", ramp), ("b", ramp[::-1]))
    }
    dataset = datasets.read(packed(tmp_path / "blob", files), "pets.zip")
    both = np.concatenate([dataset.training.inputs[0], dataset.evaluation.inputs[0]]).astype(int)
    expected = np.stack([ramp, ramp[::-1]]).astype(int)
    assert min(np.abs(both - expected).max(), np.abs(both[::-1] - expected).max()) <= (
        12 if kind == "JPEG" else 0
    )


def test_pictures_stand_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    lying = Image.fromarray(pixels(1, 8, 6))
    files = {
        "train/a/1.png": encoded(lying, exif=exif.tobytes()),
        "test/a/1.png": encoded(pixels(2, 6, 8)),
    }
    dataset = datasets.read(packed(tmp_path / "blob", files), "pets.zip")
    np.testing.assert_array_equal(dataset.training.inputs[0][0], np.rot90(pixels(1, 8, 6), -1))


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        pytest.param(4, 4, (8, 8), id="enlarged"),
        pytest.param(16, 32, (8, 16), id="wide: cut left and right"),
        pytest.param(30, 10, (24, 8), id="high: cut above and below"),
        pytest.param(8, 8, (8, 8), id="as it is"),
        pytest.param(7, 1000, (8, 1143), id="hardly divisible"),
    ],
)
def test_cover(height: int, width: int, expected: tuple[int, int]) -> None:
    assert pictures.cover(height, width, 8, 8) == expected


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 300), st.integers(1, 300))
def test_cover_leaves_nothing_bare(height: int, width: int, to_height: int, to_width: int) -> None:
    covered = pictures.cover(height, width, to_height, to_width)
    assert covered[0] >= to_height
    assert covered[1] >= to_width
    assert covered[0] == to_height or covered[1] == to_width
    # In proportion, but for rounding.
    assert abs(covered[0] * width - covered[1] * height) <= max(height, width)


def test_pictures_are_resized_and_cut_at_the_centre(tmp_path: Path) -> None:
    wide = np.zeros((16, 64, 3), np.uint8)
    wide[:, 24:40] = 200  # the middle 16 of 64: 8 of 32 once halved
    files = {"train/a/1.png": encoded(wide), "test/a/1.png": encoded(pixels(2, 8, 8))}
    dataset = datasets.read(packed(tmp_path / "blob", files), "pets.zip", SIZE_8)
    assert dataset.training.inputs[0].shape == (1, 8, 8, 3)
    # Bicubic overshoots by a little at the two edges.
    assert (np.abs(dataset.training.inputs[0][0, :, 1:-1].astype(int) - 200) <= 12).all()
    np.testing.assert_array_equal(dataset.evaluation.inputs[0][0], pixels(2, 8, 8))


GOOD = {"a/1.png": encoded(pixels(1)), "b/1.png": encoded(pixels(2))}


def bomb(side: int) -> bytes:
    """A PNG that says it has side x side pixels; its data are a few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, content) for kind, content in chunks)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param(
            {"a/2.png": encoded(pixels(3, 9, 9))},
            "pets.zip: its pictures differ in size: 'a/1.png' is 8x6 (height x width), 'a/2.png' is 9x9; "
            "say --image-size 224x224",
            id="two sizes",
        ),
        pytest.param(
            {"b/2.jpg": b"GIF89a"},
            "pets.zip: picture 'b/2.jpg' can't be read: it is none of BMP, JPEG, PNG, PPM, WEBP",
            id="another kind",
        ),
        pytest.param({"b/2.png": b""}, "pets.zip: picture 'b/2.png' can't be read: it is empty", id="empty"),
        pytest.param(
            {"b/2.png": encoded(pixels(4))[:150]},
            "pets.zip: picture 'b/2.png' can't be read: ",
            id="cut short",
        ),
        pytest.param(
            {"b/2.png": encoded(np.zeros((8, 6), np.uint16))},
            "pets.zip: picture 'b/2.png' can't be read: its pixels are of kind I;16, not of 8 bits a channel",
            id="16 bits",
        ),
        pytest.param(
            {"b/2.png": bomb(9_000)}, "pets.zip: picture 'b/2.png' can't be read: it is 9000x9000", id="much"
        ),
        pytest.param(
            {"b/2.png": bomb(60_000)}, "pets.zip: picture 'b/2.png' can't be read: Image size", id="bomb"
        ),
        pytest.param(
            {"3.png": encoded(pixels(3))},
            "pets.zip: picture '3.png' is in no class folder: pictures lie in CLASS/, or in train/CLASS/",
            id="no class",
        ),
        pytest.param(
            {"train/c/3.png": encoded(pixels(3))},
            "pets.zip: some of its files belong to 'train' and some to no split",
            id="half split",
        ),
        pytest.param(
            {"b/1.png": None}, "pets.zip: 'x' has 1 sample: at least 2 are needed", id="a single picture"
        ),
        pytest.param(
            {"b/1.png": None, "a/2.png": encoded(pixels(3))},
            "pets.zip: 'y' is 0 for each of its 2 samples: nothing is learned",
            id="one class",
        ),
        pytest.param(
            {"../b/2.png": encoded(pixels(3))},
            "pets.zip: its entry '../b/2.png' leads out of it: pack the folder anew",
            id="out of the folder",
        ),
        pytest.param(
            {"/etc/b/2.png": encoded(pixels(3))},
            "pets.zip: its entry '/etc/b/2.png' leads out of it",
            id="root",
        ),
        pytest.param(
            {"a\\..\\..\\2.png": encoded(pixels(3))},
            "pets.zip: its entry 'a\\\\..\\\\..\\\\2.png' leads",
            id="Windows",
        ),
        pytest.param(
            {"data.parquet": b"PAR1"}, "pets.zip: it holds pictures as well as tables", id="tables as well"
        ),
        pytest.param(
            {"a/1.png": None, "b/1.png": None, "x.txt": b""},
            "pets.zip: it holds no pictures and no tables: pack class folders of pictures",
            id="neither",
        ),
    ],
)
def test_refuses(files: dict[str, bytes | None], message: str, tmp_path: Path) -> None:
    merged = {name: content for name, content in {**GOOD, **files}.items() if content is not None}
    error = refused(packed(tmp_path / "blob", merged))
    assert error.message.startswith(message)
    assert error.reason == NOT_A_DATASET


def test_a_picture_that_trains_and_evaluates_is_named(tmp_path: Path) -> None:
    files = {f"{split}/{name}": content for split in ("train", "test") for name, content in GOOD.items()}
    files["test/a/1.png"] = encoded(pixels(9))
    assert refused(packed(tmp_path / "blob", files)).message == (
        "pets.zip: 1 of 2 samples in 'x_train' are evaluation samples too (the first: 'train/b/1.png'); "
        "quality would be flattered: remove them"
    )


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        pytest.param(
            lab_pb2.DataReading(image_width=8), "a picture size has both height and width", id="half"
        ),
        pytest.param(lab_pb2.DataReading(label_column="y"), "it has no columns", id="a column"),
    ],
)
def test_refuses_to_be_told(reading: lab_pb2.DataReading, message: str, tmp_path: Path) -> None:
    assert message in refused(packed(tmp_path / "blob", GOOD), reading).message


def test_what_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal, "MAX_BYTES", 100_000)
    heavy = packed(tmp_path / "zip", {"a/1.png": b"\0" * 200_000}, zipfile.ZIP_DEFLATED)
    assert heavy.stat().st_size < 1000
    error = refused(heavy)
    assert error.message == "pets.zip: its files take 200,000 bytes, at most 100,000 are read"
    assert error.reason == TOO_LARGE
    plain = encoded(np.zeros((300, 300), np.uint8))
    error = refused(packed(tmp_path / "pictures", {"a/1.png": plain, "b/1.png": plain}))
    assert error.message == "pets.zip: its pictures take 180,000 bytes, at most 100,000 are read"
    assert error.reason == TOO_LARGE


def test_encryption_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "blob", GOOD)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1  # general purpose flags of the first entry of the directory
    path.write_bytes(content)
    assert refused(path).message == "pets.zip: its entry 'a/1.png' is encrypted: pack it without"


@given(data=st.data())
@settings(deadline=None)
def test_damage_is_refused_in_one_line(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = packed(tmp_path_factory.mktemp("damage") / "blob", GOOD)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        datasets.read(path, "pets.zip")
    except ConversionError as error:
        assert error.reason in (NOT_A_DATASET, TOO_LARGE)  # noqa: PT017
        assert "\n" not in error.message  # noqa: PT017


@given(data=st.data())
@settings(deadline=None)
def test_a_damaged_picture_is_named_or_shown(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "BMP", "WEBP", "PPM"]))
    content = bytearray(encoded(pixels(1, 16, 16), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    files = {"a/1.png": bytes(content), "b/1.png": encoded(pixels(2, 16, 16))}
    path = packed(tmp_path_factory.mktemp("damage") / "blob", files)
    try:
        datasets.read(path, "pets.zip", SIZE_8)
    except ConversionError as error:
        assert "picture 'a/1.png' can't be read" in error.message  # noqa: PT017
        assert "\n" not in error.message  # noqa: PT017


def test_a_packed_folder_is_the_same_bytes_wherever_it_lies(tmp_path: Path) -> None:
    made = []
    for place in ("here", "there"):
        for name in sorted(GOOD, reverse=place == "there"):
            (tmp_path / place / name).parent.mkdir(parents=True)
            (tmp_path / place / name).write_bytes(GOOD[name])
        (tmp_path / place / ".hidden").mkdir()
        (tmp_path / place / ".hidden" / "x.png").write_bytes(place.encode())
        folder.pack(tmp_path / place, tmp_path / f"{place}.zip")
        made.append((tmp_path / f"{place}.zip").read_bytes())
    assert made[0] == made[1]
    dataset = datasets.read(tmp_path / "here.zip", "here.zip")
    assert dataset.class_names == ("a", "b")
