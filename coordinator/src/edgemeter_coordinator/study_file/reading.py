"""A study file's text as a value, or the one line that says what is wrong with it, on which line. Pure.

name = "compression"
about = "…"

[defaults]                      # for every part that does not say otherwise
recipes = ["float32", "int8"]   # the first is the baseline
plan = { profile = "standard" } # the keys of a plan file
quick = { recipes = […], plan = { … } }

[[part]]
name = "resnet"                 # its study is called compression/resnet
model = "cifar10-resnet"        # of the zoo, a path, package.module:function
application = "…"  data = …  task = "…"  inputs = […]  preprocess = […]  recipes = […]  plan = { … }
quick = false                   # left out of a quick run; or { recipes = […], plan = { … } }
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomllib

from edgemeter_coordinator.sdk import data_source, model_source
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.study_file.contents import Data, How, Original, Part, StudyFile
from edgemeter_coordinator.study_file.keys import Table
from edgemeter_coordinator.study_file.positions import positions
from edgemeter_coordinator.study_file.recipe_texts import recipe_problem
from edgemeter_protos import plans, preprocessing

MAX_BYTES = 262_144
"""The whole comparison that is shipped takes 10,000."""
NAME_CHARACTERS = 48
MOST_PARTS = 200

_FILE_KEYS = ("name", "about", "defaults", "part")
_DEFAULT_KEYS = ("recipes", "plan", "quick")
_PART_KEYS = (
    *("name", "application", "model", "data", "task", "inputs", "preprocess"),
    *("recipes", "plan", "quick"),
)
_QUICK_KEYS = ("recipes", "plan")
_DATA_KEYS = ("source", "image_size", "input_columns", "label_column", "window_tokens")

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._+-]{{0,{NAME_CHARACTERS - 1}}}", re.ASCII)
_TOML_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)")
_RECIPES = '["float32", "int8"]'


def read(path: str | os.PathLike[str]) -> StudyFile:
    """The study file at `path`. Raises EdgemeterError, one line that names the file and the line."""
    name = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise EdgemeterError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise EdgemeterError(f"{name} is larger than {MAX_BYTES} bytes: it is no study file")
    try:
        return parse(content.decode(), name)
    except UnicodeDecodeError as error:
        raise EdgemeterError(f"{name} is no text in UTF-8: byte {error.start} is none") from None


def parse(text: str, source: str = "the study file") -> StudyFile:
    """As `read`, of a file's text; `source` is what messages call it."""
    values = _toml(text, source)
    # As Python's reader does, which counts them as one character.
    lines = positions(text.replace("\r\n", "\n"))
    top = Table(values, source=source, lines=lines, path=(), called="the study file")
    top.check_keys(_FILE_KEYS)
    defaults = top.table("defaults", "[defaults]")
    if defaults is not None:
        defaults.check_keys(_DEFAULT_KEYS)
    parts = tuple(_part(each) for each in top.tables("part", "[[part]]"))
    file = StudyFile(
        source=source,
        name=_name(top, "a study file"),
        about=top.text("about"),
        how=_how(defaults),
        quick=_defaults_of_quick(defaults),
        parts=parts,
    )
    _check_parts(top, file)
    return file


def _toml(text: str, source: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # The first line: brackets without end have no position.
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        at = _TOML_LINE.search(told)
        where = f"{source}:{at[1]}" if at else source
        raise EdgemeterError(f"{where}: no TOML: {_TOML_LINE.sub('', told)}") from None


def check_name(name: str) -> None:
    """Raises EdgemeterError for what can't be the name of a study file or a part."""
    if not _NAME.fullmatch(name):
        raise EdgemeterError(
            f"{plans.shown(name)} can't be a name here: write 1 to {NAME_CHARACTERS} letters, digits, '.', "
            "'_', '+' or '-', beginning with a letter or digit"
        )


def _name(table: Table, noun: str) -> str:
    name = table.text("name")
    if "name" not in table:
        table.fail(f"{noun} needs a name")
    try:
        check_name(name)
    except EdgemeterError as error:
        table.fail(str(error), "name")
    return name


def _part(table: Table) -> Part:
    table.check_keys(_PART_KEYS)
    name = _name(table, "a [[part]]")
    model = table.text("model")
    if not model:
        table.fail(f"part {name} needs a model: a zoo name, a path, or package.module:function", "model")
    quick = table.raw("quick")
    return Part(
        name=name,
        line=table.line,
        application=table.text("application"),
        model=Original(source=model, line=table.line_of("model")),
        data=_data(table),
        task=table.text("task"),
        inputs=_inputs(table),
        preprocess=_preprocess(table),
        how=_how(table),
        quick=None if quick is False else _how(_quick(table, "[part.quick]")),
    )


def _quick(table: Table, called: str) -> Table | None:
    """The table of what a quick run replaces; `quick = true` is one without keys."""
    if table.raw("quick") is True:
        return None
    if table.raw("quick") is not None and not isinstance(table.raw("quick"), dict):
        shown = plans.shown(table.raw("quick"))
        table.fail(f"quick in {table.called} is true, false, or a table {called}, not {shown}", "quick")
    quick = table.table("quick", called)
    if quick is not None:
        quick.check_keys(_QUICK_KEYS)
    return quick


def _defaults_of_quick(defaults: Table | None) -> How:
    if defaults is not None and isinstance(defaults.raw("quick"), bool):
        defaults.fail(
            "quick in [defaults] is a table: each [[part]] says by itself whether it stays", "quick"
        )
    return _how(None if defaults is None else _quick(defaults, "[defaults.quick]"))


def _data(part: Table) -> Data:
    if not isinstance(part.raw("data"), dict):
        return Data(source=part.text("data"), line=part.line_of("data"))
    table = part.table("data", "[part.data]")
    assert table is not None
    table.check_keys(_DATA_KEYS)
    size = table.text("image_size")
    try:
        image_size = data_source.image_size(size) if size else None
    except EdgemeterError as error:
        table.fail(str(error), "image_size")
    return Data(
        source=table.text("source"),
        line=table.line,
        image_size=image_size,
        input_columns=table.texts("input_columns", '["image"]'),
        label_column=table.text("label_column") or None,
        window_tokens=table.number("window_tokens", 0) if "window_tokens" in table else 0,
    )


def _inputs(table: Table) -> tuple[str, ...]:
    texts = table.texts("inputs", '["float32[3,32,32]"]')
    for place, text in enumerate(texts):
        try:
            model_source.input_spec(text)
        except EdgemeterError as error:
            table.fail(str(error), "inputs", place)
    return texts


def _preprocess(table: Table) -> tuple[str, ...]:
    texts = table.texts("preprocess", '["scale=1/255"]')
    for place, text in enumerate(texts):
        try:
            preprocessing.parse(text)
        except ValueError as error:
            table.fail(f"preprocess: {error}", "preprocess", place)
    return texts


def _how(table: Table | None) -> How:
    """Recipes and plan of [defaults], a [[part]] or what a quick run replaces."""
    if table is None:
        return How(plan={})
    recipes = table.texts("recipes", _RECIPES)
    if "recipes" in table and not recipes:
        table.fail(f"recipes in {table.called} is empty: name at least one, as in {_RECIPES}", "recipes")
    for place, text in enumerate(recipes):
        problem = recipe_problem(text)
        if problem:
            table.fail(problem, "recipes", place)
    plan = table.table("plan", f"[{table.called.strip('[]')}.plan]")
    if plan is None:
        return How(recipes=recipes, plan={})
    return How(recipes=recipes, profile=_profile(plan), plan=_numbers(plan))


def _profile(plan: Table) -> str | None:
    if "profile" not in plan:
        return None
    profile = plan.text("profile")
    if profile not in plans.PROFILES:
        there = ", ".join(plans.PROFILES)
        plan.fail(f"no profile is called {plans.shown(profile)}; there are {there}", "profile")
    return profile


def _numbers(plan: Table) -> dict[str, plans.Value]:
    """What replaces the profile's numbers, by the names of fields."""
    numbers: dict[str, plans.Value] = {}
    for key, value in plan.items():
        if key == "profile":
            continue
        try:
            checked = plans.normalized({key: value})
        except ValueError as error:
            plan.fail(str(error), key)
        if numbers.keys() & checked.keys():
            plan.fail(f"{key} says what another key of {plan.called} says: give one of them", key)
        numbers |= checked
    return numbers


def _check_parts(top: Table, file: StudyFile) -> None:
    if not file.parts:
        top.fail("a study file needs parts: write [[part]] before the keys of each", "part")
    if len(file.parts) > MOST_PARTS:
        top.fail(f"{len(file.parts)} parts: a study file has at most {MOST_PARTS}", "part", MOST_PARTS)
    first: dict[str, int] = {}
    for place, part in enumerate(file.parts):
        if part.name in first:
            top.fail(f"line {first[part.name]} has a part {part.name!r} already", "part", place, "name")
        first[part.name] = top.line_of("part", place, "name")
        if not part.how.recipes and not file.how.recipes:
            top.fail(
                f"part {part.name} has no recipes, and [defaults] names none: write recipes = {_RECIPES}",
                *("part", place),
            )
