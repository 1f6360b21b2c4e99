"""The documentation is true: its commands run, its links lead somewhere.

Every command in a ```sh block is run, in order and as a reader would type it, or stands in NOT_RUN with a
reason; the ```python blocks of a page are run after its commands, as one script.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import tiny_llama
from tests.desk import Desk, until

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

NOT_RUN = {
    r"make [a-z]+": "builds, tests or trains everything; that the target exists is tested below",
    r"edgemeter serve( .*)?": "the coordinator of this test runs already, on ports of its own",
    r"edgemeter demo( .*)?": "fetches the digits and measures five variants for minutes",
    r"python3 -m venv agent": "test_wheels.py installs the agent into an empty environment",
    r"\. (agent|\.venv)/bin/activate": "changes the shell that it is typed in",
    r"pip install .*'edgemeter-agent\[[a-z,]+\]'": "downloads a runtime; test_wheels.py does it",
    r"edgemeter-agent meter (serve|calibrate)( .*)?": "takes a meter that this machine lacks",
    r"edgemeter study run studies/compression\.toml( .*)?": "fetches packages, and measures for hours",
    r"edgemeter study replay( .*)?": "exits with 1 where times differ; test_study_files.py runs it",
    r"edgemeter-agent run --allow-exec-meters": "this test's agent runs already, and has no such meter",
}
"""Pattern of whole commands -> why no test runs them."""

FIRST_NUMBERS = {
    "processes": 1,
    "blocks": 2,
    "block_min_duration_ns": 20_000_000,
    "warmup_min_duration_ns": 20_000_000,
    "settle_timeout_ns": 0,
    "energy_windows": 1,
    "energy_window_min_duration_ns": 100_000_000,
    "idle_duration_ns": 100_000_000,
    "profiled_queries": 2,
    "cold_starts": 0,
}
"""What `bench` is given first here, so that the pages take seconds; what a page itself sets outdoes it."""

SHORT_PROFILES = f"""\
from edgemeter_protos import plans
for numbers in plans.PROFILES.values():
    numbers.update({FIRST_NUMBERS!r})
"""

PRINTED_LINE = re.compile(r"edgemeter(?:-agent join| login) (\S+) (?:--token )?(\S+) --ca-fingerprint (\S+)")


@dataclass(frozen=True, kw_only=True)
class Block:
    language: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    language: str | None = None
    begin, held = 0, list[str]()
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if not line.startswith("```"):
            held.append(line)
        elif language is None:
            language, begin, held = line[3:].strip(), number, []
        else:
            found.append(Block(language=language, text="\n".join(held), line=begin))
            language = None
    assert language is None, f"{page.name}:{begin}: a block is never closed"
    return found


def commands_of(page: Path) -> list[str]:
    """The command lines of a page's ```sh blocks, without comments, in order."""
    lines = [
        line
        for block in blocks_of(page)
        if block.language == "sh"
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    bare = [re.sub(r"(^|\s+)#\s.*", "", line).strip() for line in lines]
    return [line for line in bare if line]


def reason_not_to_run(command: str) -> str | None:
    return next((why for pattern, why in NOT_RUN.items() if re.fullmatch(pattern, command)), None)


def runnable(page: Path) -> bool:
    return any(reason_not_to_run(command) is None for command in commands_of(page)) or any(
        block.language == "python" for block in blocks_of(page)
    )


@dataclass
class Reader:
    """Somebody who types a page's commands, one after another, on a board or at a desk."""

    desk: Desk
    page: Path
    agent_state: Path
    """Of the agent of this page: one that the page lets join, or the fixture's."""
    line: tuple[str, str, str] | None = None
    """Address, token and fingerprint that the last `token new` printed."""
    agents: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def type(self, command: str) -> None:
        words = shlex.split(self._filled_in(command))
        if words[:2] == ["edgemeter-agent", "run"]:
            self._run_agent(words)
            return
        for measuring in (["edgemeter", "bench"], ["edgemeter", "study", "run"]):
            if words[: len(measuring)] == measuring:
                first = [f"--set={name}={number}" for name, number in FIRST_NUMBERS.items()]
                words[len(measuring) : len(measuring)] = first
        if words[:2] == ["edgemeter", "bench"]:
            words = [
                "1s" if before == "--sustain" else word
                for before, word in zip(["", *words], words, strict=False)
            ]
        if words[:2] == ["edgemeter-agent", "bench"]:
            # The time to settle is the profile's: up to a minute in `standard`.
            words = [word if word != "standard" else "quick" for word in words]
            words += ["--blocks", "2", "--min-duration", "0.02"]
        done = self.desk.run(shlex.join([*self._environment, *words]))
        assert done.returncode == 0, f"{self.page.name}: {command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, f"{self.page.name}: {command}\n{done.stderr}"
        printed = PRINTED_LINE.search(done.stdout)
        if printed:
            self.line = (printed[1], printed[2], printed[3])

    def run_python(self) -> None:
        """All of the page's Python, as one script."""
        blocks = [block.text for block in blocks_of(self.page) if block.language == "python"]
        if not blocks:
            return
        script = self.desk.folder / f"{self.page.stem}.py"
        script.write_text(SHORT_PROFILES + "\n".join(blocks) + "\n")
        done = self.desk.run(f"python {script}")
        assert done.returncode == 0, f"{self.page.name}\n{done.stdout}\n{done.stderr}"

    def leave(self) -> None:
        for agent in self.agents:
            agent.send_signal(signal.SIGTERM)
        assert [agent.wait(20) for agent in self.agents] == [0] * len(self.agents)

    @property
    def _environment(self) -> list[str]:
        return ["env", f"EDGEMETER_AGENT_STATE={self.agent_state}"]

    def _filled_in(self, command: str) -> str:
        """With what the page's placeholders stand for."""
        if re.search(r"\b(TOKEN|HOST:7443)\b|sha256:…", command):
            assert self.line, f"{self.page.name}: {command!r} comes before a `token new` that prints its line"
            address, token, fingerprint = self.line
            command = re.sub(r"\bHOST:7443\b", address, command)
            command = re.sub(r"\bTOKEN\b", token, command).replace("sha256:…", fingerprint)
        if re.search(r"\bSTUDY\b", command):
            command = re.sub(r"\bSTUDY\b", self.desk.json("edgemeter study ls")[0]["name"], command)
        if re.search(r"\bVARIANT\b", command):
            command = re.sub(r"\bVARIANT\b", self.desk.json("edgemeter variant ls")[0]["id"], command)
        assert "…" not in command, f"{self.page.name}: {command!r} has a placeholder that nothing fills"
        return command

    def _run_agent(self, words: list[str]) -> None:
        before = self._attached()
        agent = self.desk.start(shlex.join([*self._environment, *words]), f"agent-{self.page.stem}.log")
        self.agents.append(agent)
        until(f"the agent of {self.page.name} is attached", lambda: self._attached() > before)

    def _attached(self) -> int:
        return sum(device["attached"] for device in self.desk.json("edgemeter device ls"))


OTHER_FILES = """
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch
from pathlib import Path
from PIL import Image

import mynets

net, example = mynets.small()
torch.export.save(torch.export.export(net, (example,)), "net.pt2")
torch.jit.trace(net, example).save("net.pt")
with np.load("digits.npz") as digits:
    x, y = digits["x_train"][:60, :, :, 0], digits["y_train"][:60]
for number, (picture, kind) in enumerate(zip(x, y)):
    folder = Path("pictures") / "abc"[kind]
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(folder / f"{number}.png")
table = pa.table({"image": [picture.ravel().tolist() for picture in x], "kind": y})
pyarrow.parquet.write_table(table, "table.parquet")
"""

MYNETS = """
import torch


class SmallNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torch.nn.Conv2d(1, 8, 3)
        self.scores = torch.nn.Linear(8, 3)

    def forward(self, x):
        return self.scores(torch.relu(self.features(x)).mean((2, 3)))


def small():
    return SmallNet().eval(), torch.zeros(1, 1, 12, 12)
"""


def make_other_files(folder: Path) -> None:
    """A SavedModel, torch's files, pictures and a table, as models-and-data.md names them."""
    (folder / "mynets.py").write_text(MYNETS)
    for script in ("import keras; keras.saving.load_model('model.keras').export('saved_model')", OTHER_FILES):
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, material: Path) -> Iterator[Desk]:
    """A coordinator and an attached board, board=pi5; the files that the pages name; a study for STUDY."""
    desk = Desk(tmp_path_factory.mktemp("lab"))
    shutil.copy(material / "stripes.keras", desk.folder / "model.keras")
    shutil.copy(material / "stripes.npz", desk.folder / "digits.npz")
    for page, name in (("measuring.md", "plan.toml"), ("study-files.md", "mine.toml")):
        (text,) = (block.text for block in blocks_of(DOCS / page) if block.language == "toml")
        (desk.folder / name).write_text(text)
    tiny_llama.write_gguf(tiny_llama.weights(), desk.folder / "model.gguf")
    for name in ("model", "float32", "int8"):
        shutil.copy(material / "stripes.tflite", desk.folder / f"{name}.tflite")
    try:
        make_other_files(desk.folder)
        desk.serve("--allow-code mynets")
        desk.join(label="board=pi5")
        desk.attend()
        numbers = " ".join(f"--set {name}={number}" for name, number in FIRST_NUMBERS.items())
        desk.ok(
            f"edgemeter bench model.keras --data digits.npz --recipe float32 --device board=pi5 {numbers}"
        )
        yield desk
    finally:
        desk.finish()


@pytest.mark.slow
@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=lambda page: page.name)
def test_commands_run(page: Path, lab: Desk) -> None:
    commands = [command for command in commands_of(page) if reason_not_to_run(command) is None]
    joins = any(command.startswith("edgemeter-agent join") for command in commands)
    reader = Reader(
        desk=lab, page=page, agent_state=lab.folder / f"agent-of-{page.stem}" if joins else lab.board()
    )
    try:
        for command in commands:
            reader.type(command)
        reader.run_python()
    finally:
        reader.leave()


def test_every_command_is_run_or_excused() -> None:
    typed = [(page.name, command) for page in PAGES for command in commands_of(page)]
    unknown = [
        each
        for each in typed
        if reason_not_to_run(each[1]) is None and not re.match(r"edgemeter(-agent)? ", each[1])
    ]
    assert not unknown, "neither a command of ours nor in NOT_RUN"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for target in re.findall(r"(?:^|`)make ([a-z]+)(?:`|$|\s)", page.read_text(), re.MULTILINE)
    }
    assert named <= targets


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted(ROOT.glob("*/README.md"))], ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = page.parent / path if path else page
        if not there.exists() or (anchor and anchor not in anchors_of(there)):
            broken.append(target)
    assert not broken


def anchors_of(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_pages_are_reachable_from_the_readme() -> None:
    found, pending = set[Path](), [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        if page in found or not page.exists():
            continue
        found.add(page)
        links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text())
        pending += [(page.parent / link).resolve() for link in links if not link.startswith("http")]
    assert set(PAGES) <= found
