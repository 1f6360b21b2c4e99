"""The page in a browser: drawn, sorted, within a phone's width, printed, deaf to names that are markup."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from edgemeter_coordinator.report.page import html
from tests.browser import DESK, PHONE, chromium, shown
from tests.unit.coordinator.report.page.studies import everything
from tests.unit.coordinator.report.page.test_page import evil, page_of


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(html.render(page_of(*everything())))
    return file


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(DESK, id="desk"),
        pytest.param(PHONE, id="phone"),
        pytest.param({**DESK, "color_scheme": "dark"}, id="dark"),
    ],
)
def test_every_plot_is_drawn_and_nothing_sticks_out(
    browser: Browser, report: Path, options: dict[str, object]
) -> None:
    with shown(browser, report, **options) as seen:
        seen.page.locator("summary", has_text="Power over time").first.click()
        seen.scroll_through()
        drawn = [each for each in seen.drawn() if each["visible"]]
        assert len(drawn) == 20
        for each in drawn:
            assert each["shapes"] > 3
            assert abs(each["width"] - each["room"]) <= 1
        assert seen.overflow() == []
        assert seen.errors == []
        assert seen.requests == []


def test_names_in_a_plot_cover_no_other_name(browser: Browser, report: Path) -> None:
    with shown(browser, report, **PHONE) as seen:
        seen.scroll_through()
        seen.page.wait_for_selector("[data-plot='0'] .textpoint")
        boxes = seen.page.evaluate(
            """() => [...document.querySelectorAll("[data-plot='0'] .textpoint text")].map((each) => {
                const { left, right, top, bottom } = each.getBoundingClientRect();
                return { text: each.textContent, left, right, top, bottom };
            }).filter(({ text }) => text)"""
        )
        assert {"int8", "prune-channels(0.3)+int8"} <= {box["text"] for box in boxes}
        for index, one in enumerate(boxes):
            for other in boxes[index + 1 :]:
                apart = (
                    one["right"] <= other["left"]
                    or other["right"] <= one["left"]
                    or one["bottom"] <= other["top"] + 4
                    or other["bottom"] <= one["top"] + 4
                )
                assert apart, (one, other)


def test_a_click_on_a_heading_sorts_its_column(browser: Browser, report: Path) -> None:
    with shown(browser, report, **DESK) as seen:
        table = seen.page.locator("table.sortable").first
        energy = table.locator("thead th", has_text="energy")

        def recipes() -> list[str]:
            return [text.split("\n")[0] for text in table.locator("tbody th").all_inner_texts()]

        assert recipes()[0] == "float32@tflite"
        energy.locator("button").click()
        assert energy.get_attribute("aria-sort") == "ascending"
        ascending = recipes()
        assert ascending[0].startswith("prune-channels")
        # What was not measured is last, whichever way.
        assert ascending[-1].startswith("low-rank")
        energy.locator("button").press("Enter")
        assert energy.get_attribute("aria-sort") == "descending"
        assert recipes()[0] == "int16x8@tflite"
        assert recipes()[-1].startswith("low-rank")
        table.locator("thead th button", has_text="variant").click()
        assert energy.get_attribute("aria-sort") is None
        assert recipes() == sorted(recipes(), key=str.lower)


def test_names_are_no_markup(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "evil.html"
    file.write_text(html.render(evil()))
    with shown(browser, file, **DESK) as seen:
        seen.scroll_through()
        assert seen.page.locator("img").count() == 0
        assert seen.errors == []
        assert seen.requests == []


def test_paper_holds_everything(browser: Browser, report: Path, tmp_path: Path) -> None:
    """Folded parts are open, plots fit the paper, ink is dark."""
    with shown(browser, report, **DESK, color_scheme="dark") as seen:
        seen.page.emulate_media(media="print")
        seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert seen.page.locator("details:not([open]):not(.words)").count() == 0
        assert all(each["shapes"] > 3 and each["width"] <= 688 for each in seen.drawn())
        ink, ground = seen.page.evaluate(
            "(() => { const style = getComputedStyle(document.body);"
            " return [style.color, style.backgroundColor]; })()"
        )
        assert (ink, ground) == ("rgb(17, 17, 17)", "rgb(255, 255, 255)")
        seen.page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert seen.page.locator("details[open]").count() == 0
        seen.page.emulate_media(media="screen")
        paper = seen.page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
        assert paper.startswith(b"%PDF-")
        assert seen.errors == []
