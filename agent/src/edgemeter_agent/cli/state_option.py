"""The option --state-dir, the same wherever it is."""

from __future__ import annotations

import argparse

from edgemeter_agent.state_dir import ENVIRONMENT_VARIABLE


def add_to(parser: argparse.ArgumentParser) -> None:
    """Adds it as `state_dir`, None where it is not given."""
    parser.add_argument(
        "--state-dir",
        metavar="DIR",
        help=f"where the agent keeps its identity, cache and spool (${ENVIRONMENT_VARIABLE}; "
        "~/.local/state/edgemeter-agent unless given)",
    )
