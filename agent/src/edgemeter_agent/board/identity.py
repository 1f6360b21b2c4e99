"""The names of a board: its model, its SoC, its operating system."""

from __future__ import annotations

import re

from edgemeter_agent.board.root import BoardRoot

# /sys first: an emulator's file overlay may hide the real /proc.
_DEVICE_TREES = ("sys/firmware/devicetree/base", "proc/device-tree")
_PLACEHOLDERS = (
    "",
    "to be filled by o.e.m.",
    "system product name",
    "default string",
    "not specified",
    "none",
)


def board_name(board: BoardRoot, arch: str) -> str:
    """ "Raspberry Pi 5 Model B Rev 1.0"; on a PC the product's or else the processor's name."""
    return (
        _device_tree(board, "model")
        or _dmi_product(board)
        or _processor_name(board)
        or f"unknown {arch} board"
    )


def soc_name(board: BoardRoot, arch: str) -> str:
    """ "brcm,bcm2712", "nvidia,tegra234": the most general of the device tree's compatible names, which is
    the SoC; on a PC the processor's name."""
    compatible = _device_tree(board, "compatible")
    if compatible:
        return [name for name in compatible.split("\0") if name][-1]
    return _processor_name(board) or arch


def is_raspberry_pi(board: BoardRoot) -> bool:
    return "raspberrypi," in (_device_tree(board, "compatible") or "")


def is_jetson(board: BoardRoot) -> bool:
    return "nvidia,tegra" in (_device_tree(board, "compatible") or "") or bool(
        board.text_or_none("etc/nv_tegra_release")
    )


def compatible_names(board: BoardRoot) -> list[str]:
    """The device tree's compatible names, the most special first; none on a PC."""
    return [name for name in (_device_tree(board, "compatible") or "").split("\0") if name]


def operating_system(board: BoardRoot) -> str:
    """ "Ubuntu 22.04.5 LTS, L4T R36.4.3": os-release's pretty name, and Jetson's L4T release."""
    name = "unknown Linux"
    for line in (board.text_or_none("etc/os-release") or "").splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            name = value.strip("\"'")
    tegra = re.match(
        r"# R(?P<major>\d+) \(release\), REVISION: (?P<minor>[\d.]+)",
        board.text_or_none("etc/nv_tegra_release") or "",
    )
    return f"{name}, L4T R{tegra['major']}.{tegra['minor']}" if tegra else name


def memory_bytes(board: BoardRoot) -> int:
    """Usable memory; 0 where it can't be read."""
    return _meminfo_bytes(board, "MemTotal") or 0


def available_memory_bytes(board: BoardRoot) -> int | None:
    """What new processes may take without swapping (proc(5), MemAvailable)."""
    return _meminfo_bytes(board, "MemAvailable")


def _meminfo_bytes(board: BoardRoot, key: str) -> int | None:
    found = re.search(rf"^{key}:\s+(\d+) kB$", board.text_or_none("proc/meminfo") or "", re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _device_tree(board: BoardRoot, name: str) -> str | None:
    for tree in _DEVICE_TREES:
        text = board.text_or_none(f"{tree}/{name}")
        if text:
            return text
    return None


def _dmi_product(board: BoardRoot) -> str | None:
    product = board.text_or_none("sys/class/dmi/id/product_name") or ""
    if product.lower() in _PLACEHOLDERS:
        return None
    vendor = board.text_or_none("sys/class/dmi/id/sys_vendor") or ""
    return product if vendor.lower() in _PLACEHOLDERS or product.startswith(vendor) else f"{vendor} {product}"


def _processor_name(board: BoardRoot) -> str | None:
    for line in (board.text_or_none("proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        # 32-bit Raspberry Pi kernels have a line "Model"; x86 "model name".
        if key.strip() in ("model name", "Model") and value.strip():
            return value.strip()
    return None
