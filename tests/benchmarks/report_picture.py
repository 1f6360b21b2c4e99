"""docs/report.png of a report that was made of a real study: what to ship, the table, the first plots.

edgemeter report STUDY -o report.html && python tests/benchmarks/report_picture.py report.html
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.browser import chromium, shown

PICTURE = Path(__file__).parents[2] / "docs" / "report.png"
WIDTH_PX, MOST_BYTES = 1120, 200_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--height", type=int, default=1500, help="of the picture, in pixels")
    parser.add_argument("--output", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    with (
        chromium() as browser,
        shown(browser, arguments.report.resolve(), viewport={"width": WIDTH_PX, "height": 900}) as seen,
    ):
        seen.scroll_through()
        taken = seen.page.screenshot(
            full_page=True, clip={"x": 0, "y": 0, "width": WIDTH_PX, "height": arguments.height}
        )
    # 128 colours are enough for flat ones, and a quarter of the bytes.
    picture = Image.open(io.BytesIO(taken)).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    picture.save(arguments.output, optimize=True)
    size_bytes = arguments.output.stat().st_size
    assert size_bytes <= MOST_BYTES, f"{size_bytes} bytes, at most {MOST_BYTES}: a smaller --height"
    print(f"{arguments.output}: {picture.width} x {picture.height}, {size_bytes / 1000:.0f} kB")


if __name__ == "__main__":
    main()
