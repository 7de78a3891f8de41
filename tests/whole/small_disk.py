"""Scripts that run where a folder is a small file system of its own."""

import subprocess
import sys
from pathlib import Path

import pytest


def run_on_small_disk(
    disk: Path, options: str, script: str, timeout_s: float | None = None
) -> None:
    """Run a Python script with a tmpfs mounted on `disk`, which is created. Skips where this machine allows no mounts."""
    disk.mkdir()
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    tmpfs = f"mount -t tmpfs -o {options} none {disk}"
    if subprocess.run([*mount, tmpfs], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets us mount no small disk")
    command = [*mount, f'{tmpfs} && exec "$0" -c "$1"', sys.executable, script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
    assert done.returncode == 0, done.stderr
