"""A page as one HTML file that needs nothing beside itself. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from edgemeter_coordinator.report.page.page import Page
from edgemeter_protos.report import units

_BREAK_AFTER, _BREAK_BEFORE = re.compile(r"([+/])(?=[a-z])"), re.compile(r"(@)(?=[a-z])")


def render(page: Page) -> str:
    """The whole file. Names that users gave are text in it, never markup; by its own security policy the page
    loads nothing and runs no script but its own."""
    scripts = {"plotly": plotly(), "page": _text("page.js")}
    figures = [{"figure": plot.figure, "height": plot.height, "wide": plot.wide} for plot in page.plots]
    return (
        environment()
        .get_template("page.html")
        .render(
            page=page,
            style=Markup(_text("page.css")),  # noqa: S704
            scripts={name: Markup(script) for name, script in scripts.items()},  # noqa: S704
            policy=_policy(scripts.values()),
            figures=figures,
            human_bytes=units.human_bytes,
        )
    )


def plotly() -> str:
    """Plotly's JavaScript, all of it: the package brings no smaller bundle."""
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script


@cache
def environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["breakable"] = breakable
    return made


def breakable(text: str) -> Markup:
    """A recipe's or a study's name that a narrow column may break between its steps."""
    broken = _BREAK_BEFORE.sub("\0\\1", _BREAK_AFTER.sub("\\1\0", text))
    return Markup("<wbr>").join(escape(part) for part in broken.split("\0"))


def _policy(scripts: Any) -> str:
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src {allowed}"


def _text(name: str) -> str:
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), name)[0]
