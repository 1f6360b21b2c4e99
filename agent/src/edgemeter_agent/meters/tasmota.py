"""`tasmota:HOST`: a plug with Tasmota's firmware, asked over HTTP (tasmota.github.io/docs/Commands, Status
8).

`StatusSNS.ENERGY` has Power in W (whole ones, until the command `WattRes 3`) and Total in kWh. With a web
password: ?user=admin&password=…
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlencode

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import Meter
from edgemeter_agent.meters.address import join_address, split_address
from edgemeter_agent.meters.http_json import HttpFault, fetch_object, number_at
from edgemeter_agent.meters.plug import TIMEOUT_S, PlugMeter, PlugValue
from edgemeter_agent.meters.spec import Spec

HTTP_PORT = 80


def status(base: str, login: dict[str, str]) -> PlugValue:
    """Raises HttpFault."""
    query = urlencode({**login, "cmnd": "Status 8"}, quote_via=quote)
    answer = fetch_object(f"{base}/cm?{query}", TIMEOUT_S)
    if "WARNING" in answer:
        # Older firmware answers 200 to a wrong password.
        raise HttpFault("http_401", "it wants ?user= and ?password=")
    sensors = answer.get("StatusSNS")
    energy = sensors.get("ENERGY") if isinstance(sensors, dict) else None
    if not isinstance(energy, dict):
        raise HttpFault("rubbish", "it has no energy meter (no StatusSNS.ENERGY)")
    return PlugValue(watts=_sum(energy, "Power"), watt_hours=1000 * _sum(energy, "Total"))


def _sum(energy: dict[str, object], key: str) -> float:
    """A list has one value a phase."""
    value = energy.get(key)
    values = value if isinstance(value, list) and value else [value]
    return sum(number_at({key: each}, key) for each in values)


def prepare(spec: Spec, _board: BoardRoot) -> Callable[[], Meter]:
    try:
        base = f"http://{join_address(*split_address(spec.target, HTTP_PORT))}"
    except ValueError as error:
        raise spec.wrong(str(error)) from None
    password = spec.options.get("password")
    login = {"user": spec.options.get("user", "admin"), "password": password} if password else {}
    spec.choice("counter", ("yes", "no"), "no")
    return lambda: PlugMeter(spec, lambda: status(base, login), f"Tasmota, {base}")
