"""Following the process that makes an entry's files."""

from __future__ import annotations

import sys

import pytest

from edgemeter_converters.zoo import FetchError
from edgemeter_converters.zoo.fetching import follow

SAYS = "from edgemeter_converters.zoo.entry import say; print('noise', flush=True); say('half done'); "


def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_hands_on_what_is_said() -> None:
    said: list[str] = []
    follow(script(SAYS), said.append, timeout_s=60)
    assert said == ["half done"]


def test_a_failure_is_its_last_line() -> None:
    with pytest.raises(FetchError) as failed:
        follow(script("raise ValueError('no such\\nlayer')"), lambda _: None, timeout_s=60)
    assert str(failed.value) == "layer"
    with pytest.raises(FetchError, match="it said nothing"):
        follow(script("raise SystemExit(3)"), lambda _: None, timeout_s=60)


@pytest.mark.parametrize("closed", ["", "import os; os.close(1); "], ids=["while it may talk", "silent"])
def test_one_that_takes_too_long_is_killed(closed: str) -> None:
    with pytest.raises(FetchError, match=r"it took longer than 0\.5 s"):
        follow(script(f"import time; {closed}time.sleep(600)"), lambda _: None, timeout_s=0.5)


def test_who_watches_may_stop_it() -> None:
    def stop(_line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(script(f"{SAYS}import time; time.sleep(600)"), stop, timeout_s=60)
