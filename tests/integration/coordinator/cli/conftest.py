"""A coordinator that serves, and the commands at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
