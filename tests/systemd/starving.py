"""Taking the processor or the memory from one process of the container, and from nothing else."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tests.systemd.container import Container

V1 = Path("/sys/fs/cgroup")
CPU_SHARE = 0.01
MEMORY_BYTES = 100_000
"""What it may take beyond what it has."""


@contextlib.contextmanager
def starved(
    container: Container, unit: str, pid: int, of: Literal["cpu", "memory"]
) -> Iterator[None]:
    """While this is entered. What systemd starts in its place is not starved."""
    group = V1 / of / f"vigie-test-{os.getpid()}"
    if not (V1 / of / "cgroup.procs").exists():
        limit = f"CPUQuota={CPU_SHARE:%}" if of == "cpu" else "MemoryMax=40M"
        container.run("systemctl", "set-property", "--runtime", unit, limit)
        yield
        container.run("systemctl", "revert", unit)
        return
    group.mkdir()
    try:
        if of == "cpu":
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text(str(int(100_000 * CPU_SHARE)))
        else:
            (group / "memory.limit_in_bytes").write_text(str(MEMORY_BYTES))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (V1 / of / "cgroup.procs").write_text(left)
        # The last of a killed process leaves it a moment later.
        container.wait_for(lambda: not (group / "cgroup.procs").read_text(), "empty group")
        group.rmdir()
