from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.trust import check_allowed, is_function
from edgemeter_protos.v1 import refusal_pb2


@pytest.mark.parametrize(
    ("function", "allowed"),
    [
        ("mypkg.nets:small", ("mypkg",)),
        ("mypkg:small", ("other", "mypkg")),
        ("mypkg.nets:small", ("mypkg.nets",)),
    ],
)
def test_a_trusted_packages_function_is_called(function: str, allowed: tuple[str, ...]) -> None:
    check_allowed(function, allowed)


@pytest.mark.parametrize(
    ("function", "allowed"),
    [
        ("mypkg.nets:small", ()),
        ("mypkg.nets:small", ("mypkg.net",)),
        ("mypkgs:small", ("mypkg",)),
        ("os:abort", ("mypkg",)),
        ("edgemeter_converters.process:prepare", ()),
    ],
)
def test_any_other_is_refused_with_what_would_allow_it(function: str, allowed: tuple[str, ...]) -> None:
    with pytest.raises(ConversionError) as caught:
        check_allowed(function, allowed)
    assert caught.value.reason == refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL
    package = function.partition(":")[0].partition(".")[0]
    assert caught.value.message == (
        f"{function}: loading it runs its package's code, which this coordinator was not told to trust; "
        f"its operator may start it with --allow-code {package}"
    )


@pytest.mark.parametrize("text", ["", "mypkg", "mypkg:", ":small", "my pkg:small", "mypkg:a.b", "mypkg:f()"])
def test_what_is_no_functions_name(text: str) -> None:
    assert not is_function(text)


@pytest.mark.parametrize("text", ["mypkg:small", "my_pkg.nets:small2", "_a.b.c:_d"])
def test_what_is_one(text: str) -> None:
    assert is_function(text)


@given(st.text(alphabet="ab._:1 \n", max_size=12))
def test_a_function_is_two_dotted_names(text: str) -> None:
    module, colon, name = text.partition(":")
    names = [*module.split("."), name]
    assert is_function(text) == (bool(colon) and all(each.isidentifier() for each in names))


def test_the_zoos_networks_need_no_leave() -> None:
    check_allowed("edgemeter_converters.zoo.nets.lite0:net", ())
    with pytest.raises(ConversionError):
        check_allowed("edgemeter_converters.zoo.packages:cache", ())
