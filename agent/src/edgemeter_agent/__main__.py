"""`python -m edgemeter_agent` is the command edgemeter-agent."""

from __future__ import annotations

import sys

from edgemeter_agent.cli import main

sys.exit(main())
