"""Which devices a user means by `--device`: a pure function of the selectors and the devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

ALL = "all"
NAMED_IN_ERRORS = 20
"""More labels or names than this are cut short: the error stays one readable line."""


class Selectable(Protocol):
    """What a selector can look at."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> Mapping[str, str]: ...


D = TypeVar("D", bound=Selectable)


class NoDeviceMatchesError(LookupError):
    """A selector matches nothing. The message says which labels and names there are."""


def select(devices: Sequence[D], selectors: Sequence[str]) -> list[D]:
    """The devices that any of `selectors` matches, in the order of `devices`, each once.

    A selector is "LABEL=VALUE", a device's name or id, or "all". Each must match at least one device:
    a mistyped one would else leave a board out of a study without a word.

    Raises NoDeviceMatchesError.
    """
    wanted = [selector.strip() for selector in selectors]
    if not wanted:
        raise NoDeviceMatchesError(f"no device is named: {_choices(devices)}")
    for selector in wanted:
        if not any(_matches(device, selector) for device in devices):
            raise NoDeviceMatchesError(_nothing_matches(devices, selector))
    return [device for device in devices if any(_matches(device, selector) for selector in wanted)]


def _matches(device: Selectable, selector: str) -> bool:
    if selector in (ALL, device.name, device.id):
        return True
    label, equals, value = selector.partition("=")
    return bool(equals) and device.labels.get(label.strip()) == value.strip()


def _nothing_matches(devices: Sequence[Selectable], selector: str) -> str:
    return f"no device matches {selector!r}: {_choices(devices)}"


def _choices(devices: Sequence[Selectable]) -> str:
    if not devices:
        return "no board has joined yet; `edgemeter token new` prints the line to paste on one"
    labels = sorted({f"{label}={value}" for device in devices for label, value in device.labels.items()})
    names = sorted(device.name for device in devices)
    return f"labels are {listed(labels) or '(none)'}; devices are {listed(names)}; or use {ALL!r}"


def listed(words: Iterable[str]) -> str:
    """ "a, b, c"; the first few where they are many."""
    every = list(words)
    shown = ", ".join(every[:NAMED_IN_ERRORS])
    return f"{shown}, … ({len(every)} in all)" if len(every) > NAMED_IN_ERRORS else shown
