"""Build time of an image: from nothing, and again after a change of the agent.

Cold is with an empty cache of mkosi; packages that apt has downloaded before are not downloaded again.
Both run as root, by the same command as `make image`.

Run: `python -m bench image_build`.
"""

import resource
import subprocess
import sys
import time

from bench.table import Row

BUILD = (sys.executable, "-m", "images", "build", "virt", "amd64")


def rows() -> list[Row]:
    """Return the rows of the table."""
    return [measure_build("cold", "--cold"), measure_build("warm")]


def measure_build(title: str, *arguments: str) -> Row:
    """Build once. Return the row of its wall-clock and processor time."""
    start_s, cpu_before_s = time.monotonic(), children_cpu_s()
    subprocess.run([*BUILD, *arguments], check=True, stdout=subprocess.DEVNULL)
    note = f"{children_cpu_s() - cpu_before_s:.0f} s of processor time"
    return Row(
        name=f"image: build, {title}",
        value=time.monotonic() - start_s,
        unit="s",
        target="-",
        note=note,
    )


def children_cpu_s() -> float:
    """Return the processor time of all ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
