"""A coordinator that the tests of a module share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.coordinator.lab.laboratory import Laboratory


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def laboratory(tmp_path_factory: pytest.TempPathFactory, material: Path) -> AsyncIterator[Laboratory]:
    """One for a module: stripes and its data are known, nobody has joined."""
    laboratory = await Laboratory(tmp_path_factory.mktemp("coordinator")).start()
    try:
        await laboratory.add_model(material / "stripes.keras")
        await laboratory.add_dataset(material / "stripes.npz")
        yield laboratory
    finally:
        await laboratory.stop()
