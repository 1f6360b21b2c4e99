"""Which of a study's results a user means. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_protos.v1 import lab_pb2


def chosen(
    responses: Sequence[lab_pb2.ListResultsResponse], recipe: str, device: str | None = None
) -> list[lab_pb2.ListResultsResponse]:
    """Those of one variant, on every board or on that of this name or id.

    `recipe` is a recipe's text ("int8@tflite"), the text without its format where that is clear ("int8"), or
    the variant's id or the start of it. Raises EdgemeterError, which says what there is.
    """
    if not responses:
        raise EdgemeterError("this study has no results yet: `edgemeter study show` says how far it is")
    recipes = list(dict.fromkeys(response.manifest.recipe for response in responses))
    means = {
        response.manifest.recipe
        for response in responses
        if recipe == response.manifest.recipe or (recipe and response.manifest.variant_id.startswith(recipe))
    } or {each for each in recipes if each.rpartition("@")[0] == recipe}
    if len(means) != 1:
        which = f"may be any of {', '.join(sorted(means))}" if means else "is none of this study's variants"
        there = "" if means else f": it has results of {', '.join(recipes)}"
        raise EdgemeterError(f"{recipe!r} {which}{there}")
    (meant,) = means
    of_it = [response for response in responses if response.manifest.recipe == meant]
    on_it = [each for each in of_it if device in (None, each.device.name, each.device.id)]
    if not on_it:
        names = ", ".join(sorted({each.device.name for each in of_it}))
        raise EdgemeterError(f"{meant} has no result on {device!r}: it was measured on {names}")
    return on_it
