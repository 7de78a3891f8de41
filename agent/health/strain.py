"""What strains the box, as numbers that do not depend on how large it is. Pure."""

import msgspec

from agent.base.health_model import DiskHealth, Vitals

NEARLY_FULL_RATIO, NEARLY_FULL_BYTES = 0.02, 300_000_000
"""A disk with less than the smaller of these free is nearly full. The ring of footage leaves at
least a twentieth free, or 500 MB, so what fills the disk then is something else."""


class ResourceLoad(msgspec.Struct, frozen=True, kw_only=True):
    """None: unknown.

    `memory_free` and `load_per_core` are shares. `room` is what is free of the disk beside what it
    takes to be nearly full: 1 is at the edge, 0 is nothing.
    """

    celsius: float | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None
    memory_free_ratio: float | None = None
    memory_pressure: float | None = None
    load_per_core: float | None = None
    disk_space_ratio: float | None = None
    write_ms: float | None = None


def compute_load(vitals: Vitals, disk: DiskHealth) -> ResourceLoad:
    """Out of what was read."""
    disk_space_ratio = None
    if vitals.disk_free_bytes is not None and vitals.disk_total_bytes:
        nearly_full_bytes = min(vitals.disk_total_bytes * NEARLY_FULL_RATIO, NEARLY_FULL_BYTES)
        disk_space_ratio = vitals.disk_free_bytes / nearly_full_bytes
    return ResourceLoad(
        celsius=vitals.soc_celsius,
        under_voltage=vitals.under_voltage,
        throttled=vitals.throttled,
        memory_free_ratio=_ratio(vitals.memory_available_bytes, vitals.memory_total_bytes),
        memory_pressure=vitals.memory_pressure,
        load_per_core=_ratio(vitals.load_1min, vitals.cores),
        disk_space_ratio=disk_space_ratio,
        write_ms=disk.write_ms,
    )


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
