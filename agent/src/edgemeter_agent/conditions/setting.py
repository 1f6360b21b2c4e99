"""What a board is set to, or hangs on, for a whole job: read once before and once after it.

Apart from the snapshots around each block because it takes milliseconds (other users of the accelerator:
every open file of the board; nvpmodel: a process) or does not change by itself (the supply's promise).
"""

from __future__ import annotations

from typing import Any

from edgemeter_agent.board import accelerator, boost, power_mode, processor, supply
from edgemeter_agent.board.root import BoardRoot
from edgemeter_protos.v1 import result_pb2


def take_setting(board: BoardRoot, uses_accelerator: bool = False) -> result_pb2.Snapshot:
    """A snapshot of only these fields: accelerator_users (where one is used), power_mode, supply_max_ma,
    supply_mv, boost, governor."""
    readings: dict[str, Any] = {
        "accelerator_users": accelerator.users(board).value if uses_accelerator else None,
        "power_mode": power_mode.asked_power_mode(board).value,
        "supply_max_ma": supply.max_ma(board).value,
        "supply_mv": supply.input_mv(board).value,
        "boost": boost.boost(board).value,
        "governor": processor.governor(board).value,
    }
    return result_pb2.Snapshot(**{name: value for name, value in readings.items() if value is not None})
