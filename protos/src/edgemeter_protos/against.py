"""What a metric may hold outputs against: the words of `Quality.against`."""

from __future__ import annotations

LABELS, ORIGINAL = "labels", "original"
