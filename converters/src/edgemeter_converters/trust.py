"""Functions of a user's own package, "package.module:function", and whose code may run. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


ZOO_NETS = "edgemeter_converters.zoo.nets"
"""Our own networks: their functions build, and nothing else, so that nobody need allow them."""


def is_function(text: str) -> bool:
    """Whether it reads as "package.module:function"."""
    return _FUNCTION.fullmatch(text) is not None


def check_allowed(function: str, allowed: Sequence[str]) -> None:
    """Nothing, where the coordinator's operator trusts the function's package.

    Args:
        function: one by `is_function`.
        allowed: packages or modules, each with all that is below it; beside `ZOO_NETS`.

    Raises:
        ConversionError: UNSAFE_MODEL, saying how to allow it.
    """
    module = function.partition(":")[0]
    if not any(module == each or module.startswith(f"{each}.") for each in (*allowed, ZOO_NETS)):
        raise ConversionError(
            f"{function}: loading it runs its package's code, which this coordinator was not told to trust; "
            f"its operator may start it with --allow-code {module.partition('.')[0]}",
            reason=refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL,
        )
