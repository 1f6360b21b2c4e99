"""`shelly:HOST`: a Shelly plug or relay with a meter, asked over HTTP.

First generation (shelly-api-docs.shelly.cloud/gen1): /meter/N has `power` in W and `total` in watt-minutes.
Later ones (shelly-api-docs.shelly.cloud/gen2, Switch and PM1): /rpc/Switch.GetStatus?id=N, or PM1 where it
has no relay, with `apower` in W and `aenergy.total` in Wh. /shelly tells the generation and needs no
password.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import Meter, MeterError
from edgemeter_agent.meters.address import join_address, split_address
from edgemeter_agent.meters.http_json import HttpFault, fetch_object, number_at
from edgemeter_agent.meters.plug import TIMEOUT_S, PlugMeter, PlugValue, refused
from edgemeter_agent.meters.spec import Spec

HTTP_PORT = 80
COMPONENTS = ("Switch", "PM1")
"""Of a later generation, in the order in which they are tried."""


def first_generation(base: str, channel: int) -> PlugValue:
    """Raises HttpFault."""
    answer = fetch_object(f"{base}/meter/{channel}", TIMEOUT_S)
    if answer.get("is_valid") is False:
        raise HttpFault("invalid", "it says that its own value is not valid")
    return PlugValue(watts=number_at(answer, "power"), watt_hours=number_at(answer, "total") / 60)


def later_generation(base: str, component: str, channel: int) -> PlugValue:
    """Raises HttpFault."""
    answer = fetch_object(f"{base}/rpc/{component}.GetStatus?id={channel}", TIMEOUT_S)
    return PlugValue(watts=number_at(answer, "apower"), watt_hours=number_at(answer, "aenergy", "total"))


def prepare(spec: Spec, _board: BoardRoot) -> Callable[[], Meter]:
    try:
        base = f"http://{join_address(*split_address(spec.target, HTTP_PORT))}"
    except ValueError as error:
        raise spec.wrong(str(error)) from None
    channel = spec.whole("channel", 0, 0, 15)
    spec.choice("counter", ("yes", "no"), "no")
    return lambda: PlugMeter(spec, *_ask(spec, base, channel))


def _ask(spec: Spec, base: str, channel: int) -> tuple[Callable[[], PlugValue], str]:
    """How to ask this one, and how it is called. Raises MeterError."""
    try:
        identity = fetch_object(f"{base}/shelly", TIMEOUT_S)
        # The first generation says nothing of generations.
        generation = identity.get("gen", 1)
        if generation == 1:
            model = identity.get("type", "of the first generation")
            return partial(first_generation, base, channel), f"Shelly {model}, {base}/meter/{channel}"
        for component in COMPONENTS:
            try:
                later_generation(base, component, channel)
            except HttpFault as fault:
                # No such component: its web server answers 404, or 500 with an error of the RPC.
                if fault.code not in ("http_404", "http_500"):
                    raise
            else:
                model = identity.get("model", f"of generation {generation}")
                return (
                    partial(later_generation, base, component, channel),
                    f"Shelly {model}, {base}/rpc/{component}.GetStatus?id={channel}",
                )
    except HttpFault as fault:
        raise refused(spec, fault) from None
    raise MeterError("meter_unreachable", f"{spec.name}: this Shelly has no meter of channel {channel}")
