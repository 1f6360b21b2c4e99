"""Which runtimes this Python has, found without importing them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from edgemeter_agent.runtimes import RUNTIMES, RuntimeKind
from edgemeter_agent.runtimes.versions import version_key


@dataclass(frozen=True, kw_only=True)
class InstalledRuntime:
    name: str
    version: str
    """Empty where the package does not say."""
    formats: tuple[str, ...]
    unusable_because: str | None = None

    @property
    def usable(self) -> bool:
        return self.unusable_because is None


def installed_runtimes() -> list[InstalledRuntime]:
    """In order of preference; those that are here but can't work come with the reason."""
    numpy = _version("numpy")
    return [
        InstalledRuntime(
            name=kind.name,
            version=_version(*package.distributions),
            formats=kind.formats,
            unusable_because=numpy_conflict(kind, numpy),
        )
        for kind in RUNTIMES
        if (package := kind.installed) is not None
    ]


def numpy_conflict(kind: RuntimeKind, numpy_version: str) -> str | None:
    """Why this numpy keeps the runtime from working, if it does."""
    if not numpy_version:
        return "numpy is not installed"
    if kind.numpy_below is not None and version_key(numpy_version) >= version_key(str(kind.numpy_below)):
        return (
            f"{kind.name} is built against numpy {kind.numpy_below - 1} and numpy {numpy_version} is"
            f" installed; pip install 'numpy<{kind.numpy_below}'"
        )
    return None


def _version(*distributions: str) -> str:
    for distribution in distributions:
        with contextlib.suppress(PackageNotFoundError):
            return version(distribution)
    return ""
