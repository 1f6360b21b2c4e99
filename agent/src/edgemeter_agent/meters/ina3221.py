"""What is true of a TI INA3221 whichever driver reads it: its steps, its errors, its lag. Pure.

The chip: datasheet SBOS576. Its averaging is a first-order low-pass, not a mean over a window: each
conversion adds 1/samples of its difference from what the register holds.
"""

from __future__ import annotations

import math

from edgemeter_agent.meters.rails import rectangular

KIND = "ina3221"
CHANNELS = 3

SHUNT_STEP_UV = 40
SHUNT_OFFSET_LIMIT_UV = 80
GAIN_LIMIT = 0.0025
"""Of the shunt's voltage and of the bus voltage, each."""
SHUNT_TOLERANCE = 0.01
"""Of the resistor. No board states its own; 1 % is the usual class of current-sense resistors."""

USUAL_SHUNT_UOHM = 5000
"""Of Jetson modules, where the driver does not say."""

CONVERSION_TIMES_US = (140, 204, 332, 588, 1100, 2116, 4156, 8244)
"""Of one voltage, as the chip can be set."""
RESET_CONVERSION_TIME_US = 1100

SLOWEST_HZ, FASTEST_HZ = 20.0, 100.0
READINGS_PER_LAG = 10

GAIN_ERROR = math.sqrt(2 * rectangular(GAIN_LIMIT) ** 2 + rectangular(SHUNT_TOLERANCE) ** 2)
"""Standard uncertainty of voltage times current, as a share."""


def step_mw(shunt_uohm: int, bus_volt: float) -> float:
    """One step of the current at that voltage: 40 mW for 5 milliohm at 5 V."""
    return SHUNT_STEP_UV / shunt_uohm * 1000 * bus_volt


def offset_error_mw(shunt_uohm: int, bus_volt: float) -> float:
    """Standard uncertainty of the zero at that voltage."""
    return rectangular(SHUNT_OFFSET_LIMIT_UV) / shunt_uohm * 1000 * bus_volt


def lag_s(samples: int | None, update_interval_ms: int | None, channels: int) -> float:
    """The time constant: samples x the time to convert both voltages of every channel that is on.

    L4T's boot script sets 512 samples of 140 us: 512 x 3 x 2 x 140 us = 0.43 s. `update_interval` of the
    mainline driver is that product, rounded to 1 ms. NVIDIA's driver leaves the samples out of it: an
    interval shorter than so many samples can take is of one round of the channels. A round of 1 ms may be
    of 140 or 204 us; the shorter, which L4T sets, is taken.
    """
    samples = samples or 1
    if update_interval_ms is None:
        return samples * channels * 2 * RESET_CONVERSION_TIME_US / 1e6
    shortest_ms = samples * channels * 2 * CONVERSION_TIMES_US[0] / 1000
    if update_interval_ms + 0.5 >= shortest_ms:
        return update_interval_ms / 1000
    for time_us in CONVERSION_TIMES_US:
        round_us = channels * 2 * time_us
        if (round_us + 500) // 1000 == update_interval_ms:
            return samples * round_us / 1e6
    return samples * max(update_interval_ms / 1000, channels * 2 * CONVERSION_TIMES_US[0] / 1e6)


def rate_hz(lag_s: float, waiting_reads: int = 0) -> float:
    """Ten readings in a lag lose nothing of what passes the filter; more only load the bus that others share.

    The mainline driver has each read of a file wait for the next conversion, NVIDIA's does not:
    `waiting_reads` are those of one reading, and leave a fifth of the time over.
    """
    rate_hz = min(max(READINGS_PER_LAG / lag_s, SLOWEST_HZ), FASTEST_HZ) if lag_s else FASTEST_HZ
    return min(rate_hz, 0.8 / (waiting_reads * lag_s)) if waiting_reads and lag_s else rate_hz
