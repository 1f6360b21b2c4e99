"""What the shell offers where a recipe, a profile or the like is being typed."""

from __future__ import annotations


def complete_profile(incomplete: str) -> list[str]:
    """Plans' profiles."""
    from edgemeter_protos import plans

    return [profile for profile in plans.PROFILES if profile.startswith(incomplete)]


def complete_recipe(incomplete: str) -> list[str]:
    """Steps that the text so far may go on with, and formats after an @."""
    from edgemeter_converters.formats import FORMATS
    from edgemeter_converters.steps import STEPS

    before, at, format_ = incomplete.rpartition("@")
    if at:
        return [f"{before}@{name}" for name in FORMATS if name.startswith(format_)]
    done, plus, step = incomplete.rpartition("+")
    return [f"{done}{plus}{each.example or name}" for name, each in STEPS.items() if name.startswith(step)]


def complete_step(incomplete: str) -> list[str]:
    """Steps' names."""
    from edgemeter_converters.steps import STEPS

    return [name for name in STEPS if name.startswith(incomplete)]


def complete_scenario(incomplete: str) -> list[str]:
    """How queries may arrive."""
    from edgemeter_protos.report.times import SCENARIOS

    return [name for name in SCENARIOS.values() if name.startswith(incomplete)]


def complete_entry(incomplete: str) -> list[str]:
    """What `edgemeter fetch` knows."""
    from edgemeter_converters.zoo import ENTRIES

    return [name for name in ENTRIES if name.startswith(incomplete)]
