"""Networks and data made once, and a conversion worker process to ask."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that make_networks.py wrote."""
    folder = tmp_path_factory.mktemp("networks")
    maker = Path(__file__).with_name("make_networks.py")
    done = subprocess.run(
        [sys.executable, str(maker), str(folder)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def worker() -> Iterator[ProcessPoolExecutor]:
    """One conversion worker, spawned as a cluster's would be."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool
