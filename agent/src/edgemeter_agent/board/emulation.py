"""Whether this board is only pretended: its timings then mean nothing."""

from __future__ import annotations

from collections.abc import Mapping

from edgemeter_agent.board.root import BoardRoot

OVERRIDE = "EDGEMETER_EMULATED"

_X86 = ("x86_64", "i386", "i686", "amd64")
_BINFMT = {"aarch64": "qemu-aarch64", "armv7l": "qemu-arm", "armv6l": "qemu-arm", "riscv64": "qemu-riscv64"}


def emulated_because(board: BoardRoot, arch: str, environment: Mapping[str, str]) -> str | None:
    """Why this is user-mode or full emulation; None where nothing says so.

    A virtual machine on the processor's own virtualization is not emulated. EDGEMETER_EMULATED=1 or =0
    decides where the signs are wrong.
    """
    override = environment.get(OVERRIDE)
    if override is not None:
        return f"{OVERRIDE}={override}" if override not in ("", "0") else None
    if environment.get("QEMU_LD_PREFIX"):
        return "QEMU_LD_PREFIX is set: qemu user-mode emulation"
    return _foreign_processor(board, arch) or _full_emulation(board)


def _foreign_processor(board: BoardRoot, arch: str) -> str | None:
    if arch in _X86:
        return None
    # qemu-user shows the guest the host's files, whatever architecture it pretends to have.
    if (board.text_or_none("sys/devices/system/cpu/modalias") or "").startswith("cpu:type:x86"):
        return f"this process is {arch}, and the processor is an x86: qemu user-mode emulation"
    if "vendor_id" in (board.text_or_none("proc/cpuinfo") or ""):
        return f"this process is {arch}, and /proc/cpuinfo is that of an x86: qemu user-mode emulation"
    handler = _BINFMT.get(arch)
    # Nobody registers an emulator for the machine's own architecture.
    if handler and (board.text_or_none(f"proc/sys/fs/binfmt_misc/{handler}") or "").startswith("enabled"):
        return f"binfmt_misc runs {arch} programs through {handler}"
    return None


def _full_emulation(board: BoardRoot) -> str | None:
    if "QEMU TCG CPU" in (board.text_or_none("proc/cpuinfo") or ""):
        return "the processor is QEMU's TCG"
    # The machine `-M virt`: a board that nobody can buy, whatever runs underneath.
    if board.text_or_none("sys/firmware/devicetree/base/compatible") == "linux,dummy-virt":
        return "the device tree is QEMU's virtual machine"
    return None
