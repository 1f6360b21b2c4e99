from __future__ import annotations

import pytest

from tests.benchmarks.study_page import filled, tables_of

REPORT = """\
# compression

## compression/net

### compression/net on vm2 (Xeon)

Of everything measured.

| variant | size |
| :-- | --: |
| `float32` | 320 kB |

#### Conditions

| variant | verdict |
| :-- | :-- |
| `float32` | valid |

### How to repeat compression/net

| file | SHA-256 |
| :-- | :-- |

### char\\-lstm/2 on vm2

| variant | size |
| :-- | --: |
"""


def test_the_first_table_of_each_part() -> None:
    assert tables_of(REPORT) == {
        "net": "| variant | size |\n| :-- | --: |\n| `float32` | 320 kB |",
        "char-lstm": "| variant | size |\n| :-- | --: |",
    }


def test_a_page_is_filled_again_and_again() -> None:
    page = "Before.\n\n<!-- net -->\nold\n\nolder\n<!-- / -->\n\nBetween.\n\n<!-- lstm -->\n<!-- / -->\n"
    once = filled(page, {"net": "| new |", "lstm": "| a |"})
    assert once == (
        "Before.\n\n<!-- net -->\n| new |\n<!-- / -->\n\nBetween.\n\n<!-- lstm -->\n| a |\n<!-- / -->\n"
    )
    assert filled(once, {"net": "| new |", "lstm": "| a |"}) == once


def test_a_part_that_the_report_does_not_have() -> None:
    with pytest.raises(KeyError, match="net"):
        filled("<!-- net -->\n<!-- / -->\n", {})
