from __future__ import annotations

import pytest

from edgemeter_converters.build import travels_compressed


@pytest.mark.parametrize(
    ("size_bytes", "compressed_size_bytes", "expected"),
    [
        pytest.param(1000, 900, True, id="smaller by a tenth"),
        pytest.param(1000, 950, True, id="smaller by a twentieth"),
        pytest.param(1000, 951, False, id="by less"),
        pytest.param(1000, 1010, False, id="larger"),
        pytest.param(0, 9, False, id="of nothing"),
    ],
)
def test_what_travels_compressed(size_bytes: int, compressed_size_bytes: int, expected: bool) -> None:
    assert travels_compressed(size_bytes, compressed_size_bytes) is expected
