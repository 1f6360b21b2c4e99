"""The tables and pictures of docs/study.md, out of a report of the study.

edgemeter report compression -o report.md && edgemeter report compression -o report.html
python tests/benchmarks/study_page.py report.md report.html

A table stands between `<!-- PART -->` and `<!-- / -->`; a picture is of a part's first plot, written for each
`study/PART.png` that the page shows.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.browser import chromium, shown

PAGE = Path(__file__).parents[2] / "docs" / "study.md"
WIDTH_PX, MOST_BYTES = 720, 60_000

_PLACE = re.compile(r"(<!-- (?P<part>[\w-]+) -->\n).*?(<!-- / -->)", re.DOTALL)
# Of a part's study: without what all names begin with, and with a number where the part was made again.
_NAME = r"(?:\S+/)?(?P<part>[A-Za-z][\w-]*)(?:/\d+)?"
_HEADING = re.compile(rf"{_NAME} on ")
_PICTURE = re.compile(r"\]\(study/(?P<part>[\w-]+)\.png\)")


def tables_of(report: str) -> dict[str, str]:
    """By a part's name, the first table below its heading of a board: every variant."""
    found: dict[str, str] = {}
    for section in re.split(r"^### ", report, flags=re.MULTILINE)[1:]:
        title, _, rest = section.partition("\n")
        part = _HEADING.match(title.replace("\\", ""))
        table = re.search(r"^\|.*?(?=\n\n|\Z)", rest, re.DOTALL | re.MULTILINE)
        if part and table:
            found.setdefault(part["part"], table[0].rstrip())
    return found


def filled(page: str, tables: dict[str, str]) -> str:
    """The page with each of its tables as it is in the report.

    Raises:
        KeyError: the report has no such part.
    """
    return _PLACE.sub(lambda place: f"{place[1]}{tables[place['part']]}\n{place[3]}", page)


def pictures(report: Path, parts: list[str]) -> Iterator[tuple[str, bytes]]:
    """Of each part: its first plot, as a PNG."""
    with chromium() as browser, shown(browser, report, viewport={"width": WIDTH_PX, "height": 900}) as seen:
        seen.scroll_through()
        sections = {_part_of(each): each for each in seen.page.locator("section.study").all()}
        for part in parts:
            yield part, sections[part].locator("figure.plot").first.screenshot()


def _part_of(section: Locator) -> str:
    # A heading may hold places to break at.
    name = re.fullmatch(_NAME, section.locator("h2").inner_text().replace("\N{ZERO WIDTH SPACE}", "").strip())
    return name["part"] if name else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("markdown", type=Path)
    parser.add_argument("html", type=Path)
    arguments = parser.parse_args()
    page = filled(PAGE.read_text(encoding="utf-8"), tables_of(arguments.markdown.read_text(encoding="utf-8")))
    PAGE.write_text(page, encoding="utf-8")
    wanted = list(dict.fromkeys(_PICTURE.findall(page)))
    folder = PAGE.with_suffix("")
    folder.mkdir(exist_ok=True)
    for part, taken in pictures(arguments.html.resolve(), wanted):
        # 64 colours are enough for flat ones, and a quarter of the bytes.
        picture = Image.open(io.BytesIO(taken)).convert("RGB").quantize(64, dither=Image.Dither.NONE)
        path = folder / f"{part}.png"
        picture.save(path, optimize=True)
        assert path.stat().st_size <= MOST_BYTES, f"{path}: {path.stat().st_size} bytes"
        print(f"{path}: {picture.width} x {picture.height}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
