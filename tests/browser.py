"""A headless Chromium, as Debian packages it, and what a test wants to know of a page that it shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESK = {"viewport": {"width": 1280, "height": 900}}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips where there is none: .ci/run installs it."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        # Root has no sandbox of Chromium's.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Shown:
    """A page, and all that went wrong on it."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.requests.append(request.url)

    def scroll_through(self) -> None:
        """To the end, so that all plots that are not folded away are drawn."""
        self.page.evaluate(
            """async () => {
                for (const each of document.querySelectorAll("[data-plot]")) {
                    if (!each.checkVisibility()) continue;
                    each.scrollIntoView();
                    for (let turn = 0; turn < 500 && !each.querySelector("svg.main-svg"); turn += 1) {
                        await new Promise((done) => setTimeout(done, 20));
                    }
                }
                scrollTo(0, 0);
            }"""
        )

    def drawn(self) -> list[dict[str, Any]]:
        """Of each plot: how many shapes it consists of, and its width and its box's."""
        found: list[dict[str, Any]] = self.page.evaluate(
            """() => [...document.querySelectorAll("[data-plot]")].map((each) => ({
                visible: each.checkVisibility(),
                shapes: each.querySelectorAll("svg path, svg rect").length,
                width: each.querySelector("svg.main-svg")?.getBoundingClientRect().width,
                room: each.clientWidth,
            }))"""
        )
        return found

    def overflow(self) -> list[str]:
        """Elements that stick out of the window to the right, but for those in a box that scrolls."""
        found: list[str] = self.page.evaluate(
            """() => [...document.body.querySelectorAll("*")].filter((each) =>
                !each.closest(".scroll, svg, .hidden") && each.getBoundingClientRect().right > innerWidth + 1
            ).map((each) => each.tagName + "." + each.className)"""
        )
        wide = self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        return [*found, *(["the page itself"] if wide else [])]


@contextmanager
def shown(browser: Browser, file: Path, **options: Any) -> Iterator[Shown]:
    context = browser.new_context(**options)
    try:
        page = context.new_page()
        seen = Shown(page)
        page.on("console", seen._said)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("request", seen._asked)
        page.on("dialog", lambda dialog: seen.errors.append(f"dialog: {dialog.message}"))
        page.goto(file.as_uri())
        yield seen
    finally:
        context.close()
