"""Every command, found by walking the tree, helps by an example and offers --json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from edgemeter_coordinator.cli.app import app


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))
    else:
        yield " ".join(path), command


TREE = dict(commands(typer.main.get_command(app)))
NAMES = sorted(TREE)


def test_the_nouns_are_all_there() -> None:
    assert NAMES == [
        "bench",
        "data add",
        "data ls",
        "demo",
        "device ls",
        "device show",
        "fetch",
        "login",
        "meter attach",
        "meter detach",
        "meter ls",
        "model add",
        "model ls",
        "model show",
        "recipe ls",
        "recipe show",
        "report",
        "result export",
        "result show",
        "serve",
        "study bundle",
        "study cancel",
        "study ls",
        "study replay",
        "study run",
        "study show",
        "study watch",
        "task ls",
        "token ls",
        "token new",
        "variant download",
        "variant layers",
        "variant ls",
        "variant rebuild",
        "variant show",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_help_holds_an_example_that_parses(name: str) -> None:
    epilog = TREE[name].epilog
    assert epilog.startswith("Example: `edgemeter ")
    line = epilog.removeprefix("Example: `").removesuffix("`").split()
    assert " ".join(line[1:]).startswith(name)
    arguments = line[1 + len(name.split()) :]
    # Raises where an option of the example does not exist.
    TREE[name].make_context(name, list(arguments), resilient_parsing=False)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_explained_and_json_is_offered(name: str) -> None:
    assert TREE[name].help
    for parameter in TREE[name].params:
        assert parameter.help, f"{name}: {parameter.name}"
    assert any("--json" in parameter.opts for parameter in TREE[name].params)


LOCAL = {"serve", "login", "demo", "fetch", "task ls"}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LOCAL])
def test_the_coordinator_can_be_named_by_a_flag(name: str) -> None:
    options = {option for parameter in TREE[name].params for option in parameter.opts}
    assert {"--coordinator", "--auth-token", "--ca"} <= options


def test_the_options_of_bench_are_in_groups() -> None:
    groups = {parameter.rich_help_panel for parameter in TREE["bench"].params if parameter.rich_help_panel}
    assert groups == {
        "How long and how often",
        "How queries arrive, and on what",
        "Energy and more",
        "Coordinator",
    }
