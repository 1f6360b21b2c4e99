from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from edgemeter_agent.runtimes.versions import version_key

versions = st.builds(
    lambda release, pre, post, dev: ".".join(map(str, release)) + pre + post + dev,
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    st.sampled_from(["", "", "a1", "b2", "rc1", ".rc3", "-alpha2", "c0"]),
    st.sampled_from(["", "", ".post1", "-2", "-r3"]),
    st.sampled_from(["", "", ".dev0", ".dev12", "dev3"]),
)


@given(versions, versions)
def test_orders_as_packaging_does(left: str, right: str) -> None:
    a, b = version_key(left), version_key(right)
    assert (a < b, a == b) == (Version(left) < Version(right), Version(left) == Version(right))


def test_local_parts_do_not_count() -> None:
    assert version_key("2.13.0+cpu") == version_key("2.13")


@pytest.mark.parametrize("text", ["", "latest", "1..2", "1.2x", "2.14.*"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="is no version"):
        version_key(text)
