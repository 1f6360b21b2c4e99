"""The same page as Markdown: for a wiki, a pull request, a terminal. Plots are told in words. Pure."""

from __future__ import annotations

import re

from edgemeter_coordinator.report.page.html import environment
from edgemeter_coordinator.report.page.page import Page
from edgemeter_protos.report import units

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!])")


def render(page: Page) -> str:
    template = environment().overlay(keep_trailing_newline=True)
    template.filters = {**template.filters, "md": literal, "code": code}
    return template.get_template("page.md").render(page=page, human_bytes=units.human_bytes)


def literal(text: str) -> str:
    """Text that Markdown leaves as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """Text in backticks, also where it holds some, and in a table's cell."""
    line = " ".join(text.split()).replace("|", "\\|")
    ticks = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"
