"""Comparing versions as PEP 440 orders releases; enough of it for runtimes' version ranges."""

from __future__ import annotations

import re

_PRE = {"a": -3, "alpha": -3, "b": -2, "beta": -2, "c": -1, "rc": -1, "pre": -1, "preview": -1}
_PATTERN = re.compile(
    r"v?(?:\d+!)?(?P<release>\d+(?:\.\d+)*)"
    r"(?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>\d*))?"
    r"(?:(?:[-_.]?(?:post|rev|r)[-_.]?|-)(?P<post>\d*))?"
    r"(?:[-_.]?(?P<dev>dev)[-_.]?(?P<dev_number>\d*))?"
    r"(?:\+[a-z0-9._-]+)?",
    re.IGNORECASE,
)

Key = tuple[tuple[int, ...], int, int, int, int, int]

_FINAL = 0
_LONE_DEV = -4


def version_key(version: str) -> Key:
    """A tuple that orders versions as PEP 440 does: dev < alpha < beta < rc < final < post.

    Epochs and local parts (`+cpu`) are ignored, and 2.0 equals 2. Raises ValueError for what is no version.
    """
    match = _PATTERN.fullmatch(version.strip())
    if match is None:
        raise ValueError(f"{version!r} is no version")
    release = [int(part) for part in match["release"].split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    dev, pre, post = match["dev"], match["pre"], match["post"]
    # 2.0.dev1 comes before 2.0a1, but 2.0.post1.dev1 after 2.0.
    unstaged = _LONE_DEV if dev and post is None else _FINAL
    stage = _PRE[pre.lower()] if pre else unstaged
    return (
        tuple(release),
        stage,
        int(match["pre_number"] or 0),
        -1 if post is None else int(post or 0),
        0 if dev else 1,
        int(match["dev_number"] or 0),
    )
