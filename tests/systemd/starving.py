"""Taking the processor or the memory from one process of the container, and from nothing else."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tests.systemd.container import Container

CGROUP_V1_ROOT = Path("/sys/fs/cgroup")
CPU_SHARE = 0.01
MEMORY_BYTES = 100_000
"""Its memory allowance on top of its present use."""


@contextlib.contextmanager
def limited_resource(
    container: Container, unit: str, pid: int, resource: Literal["cpu", "memory"]
) -> Iterator[None]:
    """While this is entered. What systemd starts in its place is not starved."""
    cgroup = CGROUP_V1_ROOT / resource / f"vigie-test-{os.getpid()}"
    if not (CGROUP_V1_ROOT / resource / "cgroup.procs").exists():
        limit = f"CPUQuota={CPU_SHARE:%}" if resource == "cpu" else "MemoryMax=40M"
        container.run("systemctl", "set-property", "--runtime", unit, limit)
        yield
        container.run("systemctl", "revert", unit)
        return
    cgroup.mkdir()
    try:
        if resource == "cpu":
            (cgroup / "cpu.cfs_period_us").write_text("100000")
            (cgroup / "cpu.cfs_quota_us").write_text(str(int(100_000 * CPU_SHARE)))
        else:
            (cgroup / "memory.limit_in_bytes").write_text(str(MEMORY_BYTES))
        (cgroup / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for remaining_pid in (cgroup / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (CGROUP_V1_ROOT / resource / "cgroup.procs").write_text(remaining_pid)
        # The last of a killed process leaves it a moment later.
        container.wait_for(lambda: not (cgroup / "cgroup.procs").read_text(), "empty group")
        cgroup.rmdir()
