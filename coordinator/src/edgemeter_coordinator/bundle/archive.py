"""A bundle as a .zip: bundle.json, and files/DIGEST for each file that it brings along."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from edgemeter_coordinator.bundle import manifest
from edgemeter_coordinator.bundle.manifest import Bundle
from edgemeter_coordinator.sdk.errors import EdgemeterError

MANIFEST = "bundle.json"
_FILES = "files/"

MOST_MANIFEST_BYTES = 64 << 20
"""A study of a hundred variants on ten boards takes about 2 MB."""
_CHUNK_BYTES = 1 << 20


def write(path: Path, bundle: Bundle, bring: Callable[[str, Path], None]) -> None:
    """Writes a bundle, whole or not at all.

    Args:
        bring: writes the content of a digest to a path.

    Raises EdgemeterError where it can't be written, and what `bring` raises.
    """
    partial = path.with_name(f".{path.name}.partial")
    fetched = path.with_name(f".{path.name}.file")
    try:
        # What is in it is compressed already, or does not compress.
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(MANIFEST, manifest.to_json(bundle), zipfile.ZIP_DEFLATED)
            for digest in sorted(bundle.files):
                bring(digest, fetched)
                archive.write(fetched, f"{_FILES}{digest}")
        partial.replace(path)
    except OSError as error:
        raise EdgemeterError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
        fetched.unlink(missing_ok=True)


def read(path: Path) -> Bundle:
    """What a bundle says. Raises EdgemeterError where it can't be read, or is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(MANIFEST).file_size > MOST_MANIFEST_BYTES:
                raise EdgemeterError(f"{path}: its {MANIFEST} is larger than any bundle's")
            text = archive.read(MANIFEST)
            names = set(archive.namelist())
    except OSError as error:
        raise EdgemeterError(f"cannot read {path}: {error.strerror or error}") from error
    except KeyError:
        raise EdgemeterError(f"{path} is no bundle: it holds no {MANIFEST}") from None
    except _DAMAGE as error:
        raise EdgemeterError(f"{path} is no bundle: {error}") from None
    try:
        bundle = manifest.from_json(text)
    except EdgemeterError as error:
        raise EdgemeterError(f"{path}: {MANIFEST}: {error}") from None
    missing = [digest for digest in bundle.files if f"{_FILES}{digest}" not in names]
    if missing:
        raise EdgemeterError(f"{path}: {_FILES}{missing[0][:12]}… is missing: was it copied whole?")
    return bundle


def extract(path: Path, digest: str, to: Path) -> None:
    """Writes a file out of a bundle to `to`. Raises EdgemeterError where it is not what it was."""
    try:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(f"{_FILES}{digest}") as source,
            to.open("wb") as target,
        ):
            shutil.copyfileobj(source, target, _CHUNK_BYTES)
        with to.open("rb") as written:
            arrived = hashlib.file_digest(written, "sha256").hexdigest()
    except OSError as error:
        raise EdgemeterError(f"cannot write {to}: {error.strerror or error}") from error
    except (KeyError, *_DAMAGE) as error:
        raise EdgemeterError(f"{path}: {_FILES}{digest[:12]}… can't be read: {error}") from None
    if arrived != digest:
        raise EdgemeterError(f"{path}: {_FILES}{digest[:12]}… is not what it was: its SHA-256 is {arrived}")


_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What zipfile raises for files that are none, are damaged or encrypted."""
