"""Numbers with units, for people: three significant digits. Pure."""

from __future__ import annotations

NOT_MEASURED = "not measured"


def human_bytes(size_bytes: float | None, absent: str = NOT_MEASURED) -> str:
    """Decimal units: "93.1 kB"."""
    return scaled(size_bytes, ("B", "kB", "MB", "GB", "TB"), absent)


def human_ns(duration_ns: float | None, absent: str = NOT_MEASURED) -> str:
    """ "42.7 µs"; from two minutes on "12.5 min"."""
    if duration_ns is not None and duration_ns >= 120e9:
        minutes = duration_ns / 60e9
        return f"{minutes:.3g} min" if minutes < 120 else f"{minutes / 60:.3g} h"
    return scaled(duration_ns, ("ns", "µs", "ms", "s"), absent)


def human_uj(energy_uj: float | None, absent: str = NOT_MEASURED) -> str:
    """ "1.23 mJ"."""
    return scaled(None if energy_uj is None else energy_uj * 1e6, ("pJ", "nJ", "µJ", "mJ", "J", "kJ"), absent)


def human_mw(power_mw: float | None, absent: str = NOT_MEASURED) -> str:
    """ "4.85 W"."""
    return scaled(None if power_mw is None else power_mw * 1e3, ("µW", "mW", "W", "kW"), absent)


def human_hz(frequency_hz: float | None, absent: str = NOT_MEASURED) -> str:
    """ "1.80 GHz"."""
    return scaled(frequency_hz, ("Hz", "kHz", "MHz", "GHz"), absent)


def human_rate(a_second: float | None, absent: str = NOT_MEASURED) -> str:
    """Of samples or queries a second: "1,230", "12.3"."""
    if a_second is None:
        return absent
    return f"{a_second:,.0f}" if a_second >= 1000 else f"{a_second:.3g}"


def human_celsius(millicelsius: float | None, absent: str = NOT_MEASURED) -> str:
    """ "61.5 °C"."""
    return absent if millicelsius is None else f"{millicelsius / 1000:.1f} °C"


def percent(share: float | None, absent: str = NOT_MEASURED) -> str:
    """Of a share: "12 %", "3.1 %", "0.25 %"."""
    if share is None:
        return absent
    hundredths = share * 100
    return f"{hundredths:.0f} %" if abs(hundredths) >= 9.95 else f"{hundredths:.2g} %"


def plus_minus(value: float | None, half_width: float | None) -> str:
    """Half of an interval's width as a share of the value: "±1.5%"; "" where either is absent."""
    if not value or half_width is None:
        return ""
    share = abs(half_width / value) * 100
    return f"±{share:.0f}%" if share >= 9.95 else f"±{share:.1f}%"


def scaled(value: float | None, units: tuple[str, ...], absent: str = NOT_MEASURED) -> str:
    """A number in the first of `units`, each a thousand of the one before, in the unit that suits it."""
    if value is None:
        return absent
    sign, value, power = "-" if value < 0 else "", abs(value), 0
    # 999.5 would be shown as 1000.
    while value >= 999.5 and power < len(units) - 1:
        value /= 1000
        power += 1
    if value >= 100 or (power == 0 and float(value).is_integer()):
        return f"{sign}{value:.0f} {units[power]}"
    return f"{sign}{value:.{1 if value >= 10 else 2}f} {units[power]}"
