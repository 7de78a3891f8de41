"""tests/conftest.py: a test gets nothing of its caller's surroundings but the programs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEST = """
import os, signal, subprocess, sys, time

def test_surroundings():
    assert set(os.environ) & {"XDG_CACHE_HOME", "RUNTIME_DIRECTORY", "HTTPS_PROXY", "SUDO_USER"} == set()
    assert os.environ["HOME"] != "/nonexistent"
    assert time.localtime(0).tm_hour == 0
    assert os.umask(0o022) == 0o022
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    shown = "import signal; print([signal.getsignal(n) == signal.SIG_DFL for n in (1, 3, 15, 17)])"
    child = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True)
    assert child.stdout.strip() == str([True] * 4)
"""
CALLER = """
import os, signal, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
os.umask(0o077)
os.execv(sys.executable, (sys.executable, "-m", "pytest", *sys.argv[1:]))
"""
VARIABLES = {
    "HOME": "/nonexistent",
    "TZ": "Asia/Tokyo",
    "XDG_CACHE_HOME": "/nonexistent",
    "RUNTIME_DIRECTORY": "/run/vigie",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "SUDO_USER": "amina",
}


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_run_has_its_own_environment_signals_and_umask(tmp_path: Path, workers: str) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_here.py").write_text(TEST)
    command = ["-q", "-n", workers, "-p", "no:cacheprovider", f"--rootdir={tmp_path}", tmp_path]
    done = subprocess.run(
        [sys.executable, "-c", CALLER, *command],
        cwd=tmp_path,
        env=os.environ | VARIABLES | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
