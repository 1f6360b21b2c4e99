"""The supply and the cooling: nothing that a program changes."""

from __future__ import annotations

from edgemeter_agent.board import supply as board_supply
from edgemeter_agent.board import thermal, throttling
from edgemeter_agent.board.identity import is_jetson, is_raspberry_pi
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.conditions.judge import PI_SLOWED_SINCE_BOOT, PI_UNDER_VOLTAGE_SINCE_BOOT
from edgemeter_agent.tuning.advice import Advice

WARM_MILLICELSIUS = 60_000
"""Ten degrees below where a measurement waits for the board to cool down."""


def supply(board: BoardRoot) -> Advice | None:
    """Raspberry Pi: what a Pi 5's supply promises, and whether the voltage ever fell."""
    most = board_supply.max_ma(board).value
    bits = throttling.throttled_bits(board).value if is_raspberry_pi(board) else None
    if most is None and bits is None:
        return None
    fell = bool((bits or 0) & PI_UNDER_VOLTAGE_SINCE_BOOT)
    current = (f"{most} mA" if most else "unknown") + (", under-voltage since boot" if fell else "")
    why = "a supply or a cable that is too weak slows the board down"
    weak = most is not None and most < board_supply.PI5_WANTS_MA
    if not weak and not fell:
        return Advice(name="supply", current=current if most else "no under-voltage since boot", why=why)
    return Advice(
        name="supply",
        current=current,
        wanted=f"{board_supply.PI5_WANTS_MA} mA" if weak else "a stronger supply, a shorter cable",
        why=why,
        command="use the board's own supply (Raspberry Pi 5: 5.1 V, 5 A)",
        by_hand="hardware",
    )


def cooling(board: BoardRoot) -> Advice | None:
    if not (is_raspberry_pi(board) or is_jetson(board)):
        return None
    chips = [board.text_or_none(f"{chip}/name") for chip in board.glob("sys/class/hwmon/hwmon*")]
    fan = "fan" if "pwmfan" in chips else "no fan that it knows of"
    temperature = thermal.temperature_millicelsius(board).value
    bits = throttling.throttled_bits(board).value or 0
    slowed = bool(bits & PI_SLOWED_SINCE_BOOT)
    warm = temperature is not None and temperature >= WARM_MILLICELSIUS
    why = "a board that heats up while it is measured slows down, and others wait for it to cool"
    current = fan if temperature is None else f"{temperature / 1000:.0f} °C, {fan}"
    current += ", slowed down since boot" if slowed else ""
    if not warm and not slowed:
        return Advice(name="cooling", current=current, why=why)
    return Advice(
        name="cooling",
        current=current,
        wanted=f"below {WARM_MILLICELSIUS // 1000} °C when idle",
        why=why,
        command="a fan at full speed, a heat sink, out of the case",
        by_hand="hardware",
    )
