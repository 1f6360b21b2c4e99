"""Every entry of the zoo, one file each. Pure: importing it imports no framework."""

from __future__ import annotations

import difflib
from types import MappingProxyType

from edgemeter_converters.zoo.entries import (
    centernet_coco,
    char_lstm,
    cifar10_resnet,
    dcgan,
    digits_vae,
    efficientnet_lite0,
    esrgan_slim,
    fashion_detector,
    fashion_net,
    minilm,
    smollm2,
    ssdlite_pedestrian,
    visual_wake_words,
)
from edgemeter_converters.zoo.entry import APPLICATIONS, Entry
from edgemeter_converters.zoo.exceptions import FetchError

__all__ = ["APPLICATIONS", "ENTRIES", "Entry", "entry"]

ENTRIES: MappingProxyType[str, Entry] = MappingProxyType(
    {
        each.name: each
        for each in (
            cifar10_resnet.ENTRY,
            efficientnet_lite0.ENTRY,
            fashion_net.ENTRY,
            visual_wake_words.ENTRY,
            fashion_detector.ENTRY,
            ssdlite_pedestrian.ENTRY,
            centernet_coco.ENTRY,
            minilm.ENTRY,
            char_lstm.ENTRY,
            digits_vae.ENTRY,
            dcgan.ENTRY,
            esrgan_slim.ENTRY,
            smollm2.ENTRY,
        )
    }
)
"""By name, in the order of `APPLICATIONS`."""


def entry(name: str) -> Entry:
    """The entry of this name. Raises FetchError naming the nearest."""
    found = ENTRIES.get(name)
    if found is None:
        near = difflib.get_close_matches(name, ENTRIES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(ENTRIES)}"
        raise FetchError(f"there is nothing named {name!r} to fetch: {hint}")
    return found
