from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from edgemeter_agent.resident import clean_code

FIELDS = "Size: 4 kB\nRss: 4 kB\nAnonymous: {anonymous} kB\nVmFlags: rd ex mr\n"


def entry(line: str, anonymous: int = 0) -> str:
    return f"{line}\n{FIELDS.format(anonymous=anonymous)}"


CODE = entry("7f0000001000-7f0000003000 r-xp 00001000 fe:00 1234   /usr/lib/lib with blanks.so")


@pytest.mark.parametrize(
    ("smaps", "found"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param(CODE, [(0x7F0000001000, 0x7F0000003000)], id="code"),
        pytest.param(
            entry("7f0000001000-7f0000003000 r-xp 00001000 fe:00 1234 /lib/relocated.so", anonymous=4),
            [],
            id="code-that-was-written-to",
        ),
        pytest.param(entry("1000-2000 r--p 00001000 fe:00 1234 /lib/x.so"), [], id="read-only-data"),
        pytest.param(entry("1000-2000 rw-p 00001000 fe:00 1234 /lib/x.so"), [], id="data"),
        pytest.param(entry("1000-2000 r-xp 00000000 00:00 0 [vdso]"), [], id="no-file"),
        pytest.param(
            "1000-2000 r-xp 00001000 fe:00 1234 /lib/x.so\nRss: 4 kB\n", [], id="a-kernel-that-does-not-tell"
        ),
        pytest.param(
            entry("1000-2000 rw-p 00000000 00:00 0") + CODE + entry("3000-4000 rw-p 00000000 00:00 0", 4),
            [(0x7F0000001000, 0x7F0000003000)],
            id="among-others",
        ),
    ],
)
def test_clean_code(smaps: str, found: list[tuple[int, int]]) -> None:
    assert clean_code(smaps.splitlines()) == found


def test_a_process_goes_on_after_its_code_was_released() -> None:
    """In a process of its own: a mistake here ends in a segmentation fault."""
    program = (
        "from pathlib import Path; from edgemeter_agent.resident import release_code\n"
        "import json, re, hashlib\n"
        "def rss(): return int(re.search(r'RssFile:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = rss(); release_code(); after = rss()\n"
        "assert hashlib.sha256(b'').hexdigest().startswith('e3b0')\n"
        "print(json.dumps([before, after]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    before, after = (int(number) for number in done.stdout.strip(" []\n").split(","))
    assert after < before


def test_written_code_counts_as_anonymous(tmp_path: Path) -> None:
    """The kernel's side of it: a private page of a file that was written to is left alone."""
    path = tmp_path / "code"
    path.write_bytes(b"\0" * mmap.PAGESIZE)
    with path.open("r+b") as file:
        rwx = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        with mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_PRIVATE, rwx) as page:
            page[0] = 1
            smaps = Path("/proc/self/smaps").read_text(errors="replace").replace("rwxp", "r-xp")
            own = [line for line in smaps.splitlines() if line.endswith(str(path))]
            assert own
            start = int(own[0].split("-")[0], 16)
            assert start not in [one for one, _ in clean_code(smaps.splitlines())]
