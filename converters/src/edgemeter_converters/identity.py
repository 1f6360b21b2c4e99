"""What makes a variant the variant that it is: the key under which it is built once and found again.

Neither function imports TensorFlow, so the service calls them too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata

from edgemeter_converters.formats import FORMATS
from edgemeter_converters.recipes import Recipe, needs_calibration


def tool_versions(recipe: Recipe) -> dict[str, str]:
    """Versions of what shapes the recipe's artifact, by distribution; one not installed is left out."""
    versions = {"edgemeter-converters": metadata.version("edgemeter-converters")}
    for names in FORMATS[recipe.format].tools:
        for name in names:
            try:
                versions[names[0]] = metadata.version(name)
                break
            except metadata.PackageNotFoundError:
                continue
    return versions


def variant_id(
    model_digest: str,
    recipe: Recipe,
    calibration_digest: str,
    evaluation_digest: str,
    tool_versions: Mapping[str, str],
    seed: int,
) -> str:
    """16 hexadecimal digits of SHA-256 over all that the manifest and the artifact follow from. Pure.

    Args:
        calibration_digest: counts only where the recipe looks at calibration samples.
        evaluation_digest: of the samples that quality and the golden pair come from; empty for none.
        seed: of whatever is random in the recipe's steps.
    """
    facts = [
        model_digest,
        str(recipe),
        calibration_digest if needs_calibration(recipe) else "",
        evaluation_digest,
        sorted(tool_versions.items()),
        seed,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
