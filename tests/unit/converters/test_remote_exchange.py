"""What a worker elsewhere keeps of the blobs that it fetched, and that it does one thing at a time."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from edgemeter_converters import remote_exchange
from edgemeter_converters.remote_exchange import CHECKPOINT_KEPT_S, RemoteExchange, alone


def blob(folder: Path, name: str, size_bytes: int, used_at_s: float) -> Path:
    path = folder / name
    path.write_bytes(b"x" * size_bytes)
    os.utime(path, (used_at_s, used_at_s))
    return path


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    old, newer, newest = (blob(tmp_path, name, 10, at) for at, name in enumerate(["old", "newer", "newest"]))
    remote_exchange._make_room(tmp_path, 20, sparing=newest)
    assert not old.exists()
    assert newer.exists()
    assert newest.exists()


def test_the_one_that_is_wanted_now_stays_however_large(tmp_path: Path) -> None:
    old, wanted = blob(tmp_path, "old", 10, 2), blob(tmp_path, "wanted", 100, 1)
    remote_exchange._make_room(tmp_path, 20, sparing=wanted)
    assert not old.exists()
    assert wanted.exists()


def test_a_checkpoint_is_found_again_and_forgotten_after_a_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    exchange = RemoteExchange(address="a:1", ca_certificate="", token="secret")
    first = exchange.checkpoint_dir("first")
    (first / "epoch").write_text("3")
    assert (exchange.checkpoint_dir("first") / "epoch").read_text() == "3"
    long_ago = first.stat().st_mtime - CHECKPOINT_KEPT_S - 10
    os.utime(first, (long_ago, long_ago))
    assert exchange.checkpoint_dir("second").is_dir()
    assert not first.exists()


def test_the_token_is_not_shown() -> None:
    assert "secret" not in repr(RemoteExchange(address="a:1", ca_certificate="", token="secret"))


def test_one_thing_at_a_time() -> None:
    busy, most = 0, 0
    lock, both_begun = threading.Lock(), threading.Event()

    def work(number: int) -> int:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        both_begun.wait(0.2)
        with lock:
            busy -= 1
        return number

    threads = [threading.Thread(target=alone, args=(work, number)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert alone(max, 3, 4) == 4
