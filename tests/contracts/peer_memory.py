"""Peak of this process's resident memory, for tests of what a hostile peer can take."""

from pathlib import Path


def reset_peak_memory() -> int:
    """Reset the peak to what the process has now, and return it in bytes: proc(5), clear_refs."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory_bytes()


def peak_memory_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
