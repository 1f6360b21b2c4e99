"""A coordinator that serves, and where it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgemeter_coordinator.sdk.lab import Lab
from edgemeter_coordinator.sdk.settings import Settings, resolve
from tests.desk import Desk


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk with a coordinator, without boards."""
    desk = Desk(tmp_path_factory.mktemp("serving"))
    try:
        desk.serve()
        yield desk
    finally:
        desk.finish()


@pytest.fixture(scope="module")
def where(serving: Desk) -> Settings:
    """Where its owner finds it."""
    return resolve(environ={"EDGEMETER_CONFIG": str(serving.folder / "config" / "edgemeter" / "config.toml")})


@pytest.fixture
def lab(where: Settings) -> Iterator[Lab]:
    with Lab(where) as lab:
        yield lab
