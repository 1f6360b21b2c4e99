"""What the catalogue says of its entries."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from edgemeter_converters import models, tasks
from edgemeter_converters.recipes import grammar
from edgemeter_converters.zoo import APPLICATIONS, ENTRIES, Entry, FetchError, fetching
from edgemeter_converters.zoo.catalogue import entry
from edgemeter_protos import preprocessing

EVERY = pytest.mark.parametrize("one", ENTRIES.values(), ids=list(ENTRIES))


@EVERY
def test_says_all_that_there_is_to_say(one: Entry) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.name)
    assert one.model_suffix in models.SUFFIXES
    assert one.data_suffix in {".npz", ".txt"}
    assert tasks.task(one.task).text
    for each in one.preprocessing:
        assert preprocessing.parse(each)
    assert all(grammar.read(recipe) for recipe in one.recipes)
    assert one.summary
    assert one.licence
    assert one.origin
    assert one.notes
    assert all("\n" not in line and not line.endswith(".") for line in (one.summary, *one.notes))
    for source in one.sources:
        assert re.fullmatch(r"[0-9a-f]{64}", source.sha256)
        assert source.size_mb > 0
        assert re.search(r"[=@]\d", source.package), "a version is named"


def test_is_in_the_order_of_applications() -> None:
    order = [APPLICATIONS.index(each.application) for each in ENTRIES.values()]
    assert order == sorted(order)
    assert set(order) == set(range(len(APPLICATIONS)))


def test_names_the_nearest() -> None:
    with pytest.raises(
        FetchError, match=r"nothing named 'cifar-resnet' to fetch: did you mean 'cifar10-resnet'\?"
    ):
        entry("cifar-resnet")
    with pytest.raises(FetchError, match="there are cifar10-resnet, "):
        entry("zzz")


def test_imports_no_framework() -> None:
    heavy = ("tensorflow", "torch", "keras", "transformers", "tokenizers", "PIL", "h5py")
    script = (
        "import sys\nfrom edgemeter_converters import zoo\nfrom edgemeter_converters.zoo import fetching\n"
        "[fetching.made_folder(each) for each in zoo.ENTRIES.values()]\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@EVERY
def test_code_of_an_entry_is_its_own_module_and_no_machinery(one: Entry) -> None:
    names = [path.name for path in fetching.code_of(one.write_model.__module__)]
    assert f"{one.name.replace('-', '_')}.py" in names
    assert not {"packages.py", "archives.py", "entry.py", "catalogue.py", "fetching.py"} & set(names)


def test_code_of_an_entry_holds_what_it_imports_late_or_names_as_a_function() -> None:
    of_minilm = fetching.code_of("edgemeter_converters.zoo.entries.minilm")
    assert [path.parent.name for path in of_minilm if path.name == "minilm.py"] == ["entries", "nets"]
    of_fashion = {path.name for path in fetching.code_of("edgemeter_converters.zoo.entries.fashion_net")}
    assert of_fashion == {"fashion_net.py", "fashion.py", "training.py"}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ('"""Another text."""\n\ndef f(x):\n    """Says."""\n    # why\n    return x + 1\n', True),
        ("ENTRY = Entry(name='f', summary='says')\n\ndef f(x):\n    return x + 1\n", True),
        ("OTHER = 2\n\ndef f(x):\n    return x + 1\n", False),
        ("def f(x):\n    return x + 2\n", False),
        ("def f(x):\n    return 'x' + 1\n", False),
    ],
)
def test_meaning(other: str, same: bool) -> None:
    one = '"""A text."""\ndef f(x): return (x\n  + 1)\n'
    assert (fetching.meaning(one) == fetching.meaning(other)) is same
