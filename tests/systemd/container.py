"""This machine's own /usr, booted in a container with systemd as its first process.

Nothing of it is written to: /etc and /var are empty folders of the test, and vanish. The units lie in
/usr/local, as `systemd/install` puts them there by hand; /opt/vigie runs this checkout.
"""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60.0
"""For whatever must come: long, because a machine may be slow, and never waited out in a pass."""
POLL_INTERVAL_S = 0.05

CGROUP_ROOT = next(
    (at for at in map(Path, ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")) if at.is_dir()), None
)
CGROUP_WRAPPER = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
"""A shell's words to run something within a control group of its own. Without one two containers would
share theirs, and the systemd of each would clear away what the other started."""
NULL_WRAPPER = """
mount -t tmpfs -o mode=755 devices "$0" && mknod -m 666 "$0/null" c 1 3 && mount --bind "$0/null" /dev/null &&
exec "$@"
"""
"""A shell's words to run something with a /dev/null of mode 666. systemd-nspawn copies the machine's mode, and
dbus-daemon in the container does not start where that is 755."""

CHECKOUT = "/opt/checkout"
PROGRAM_SCRIPT = f"""#!/bin/sh
export PYTHONPATH={CHECKOUT} PYTHONDONTWRITEBYTECODE=1
exec {CHECKOUT}/.venv/bin/python -m agent "$@"
"""
"""The stand-in for /opt/vigie/bin/vigie: the checkout may be at a path that a unit must not read."""
PYTHON_SCRIPT = PROGRAM_SCRIPT.replace(" -m agent", "")
"""The stand-in for /opt/vigie/bin/python, which some units start."""

BROKER_UNIT = """
[Service]
ExecStart=/usr/sbin/mosquitto -c /etc/broker.conf
"""


def skip_reason() -> str | None:
    """Why there is no container here; None where there is to be one."""
    if os.environ.get("VIGIE_UNITS") != "started":
        return "takes a minute and boots a container: make test-units"
    if os.geteuid() != 0:
        return "needs root: a container is booted"
    if CGROUP_ROOT is None or not (CGROUP_ROOT / "cgroup.procs").exists():
        return "needs control groups, cgroups(7)"
    for program in ("systemd-nspawn", "nsenter", "mosquitto"):
        if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            return f"needs {program}"
    probe = subprocess.run(
        ["systemd-nspawn", "--version"], capture_output=True, text=True, check=False
    )
    if probe.returncode:
        return f"systemd-nspawn does not run: {probe.stderr.strip()}"
    return None


_INSTANCE_NUMBERS = itertools.count(1)
"""Two may run at once: one for all tests, and an unconfigured one."""


class Container:
    """A booted one. `files` are in its /etc in addition to systemd's own, `devices` in its /dev."""

    def __init__(self, folder: Path, files: dict[str, str], devices: Sequence[str] = ()) -> None:
        etc, local, opt = folder / "etc", folder / "local", folder / "opt"
        for one in (etc / "systemd" / "system", local, opt / "vigie" / "bin", opt / "checkout"):
            one.mkdir(parents=True)
        (etc / "machine-id").write_text("5f0dd1a0c7e54dd5b1d7a5d0a3b1c2d4\n")
        (etc / "systemd" / "system" / "broker.service").write_text(BROKER_UNIT)
        (etc / "broker.conf").write_text("listener 1883 127.0.0.1\nallow_anonymous true\n")
        for name, text in files.items():
            (etc / name).parent.mkdir(parents=True, exist_ok=True)
            (etc / name).write_text(text)
        for name, text in (("vigie", PROGRAM_SCRIPT), ("python", PYTHON_SCRIPT)):
            program = opt / "vigie" / "bin" / name
            program.write_text(text)
            program.chmod(0o755)
        subprocess.run([ROOT / "systemd" / "install", folder / "stage"], check=True)
        shutil.copytree(folder / "stage" / "usr" / "local", local, dirs_exist_ok=True)
        # The container cannot write byte code into the checkout, and would compile at each start.
        subprocess.run(
            [sys.executable, "-m", "compileall", "-q", "agent", "drivers", "simulation"],
            cwd=ROOT,
            check=True,
        )
        self._boot(
            f"box-{os.getpid()}-{next(_INSTANCE_NUMBERS)}",
            folder / "console.log",
            *("-D", "/", "--volatile=yes", f"--bind={etc}:/etc", f"--bind-ro={local}:/usr/local"),
            *(f"--bind-ro={opt}:/opt", f"--bind-ro={ROOT}:{CHECKOUT}"),
            *(f"--bind={device}" for device in devices),
        )

    def _boot(self, name: str, log: Path, *nspawn_args: str) -> None:
        """Run it with `words`, see systemd-nspawn(1). It is up at the end."""
        assert CGROUP_ROOT is not None
        self.name = name
        self._cgroup = CGROUP_ROOT / name
        self._cgroup.mkdir()
        self._log = log.open("wb+")
        devices = log.parent / "devices"
        devices.mkdir()
        self._nspawn = subprocess.Popen(
            [
                *("sh", "-c", CGROUP_WRAPPER, self._cgroup),
                *("unshare", "--mount", "sh", "-c", NULL_WRAPPER, devices),
                *("systemd-nspawn", "--quiet", "--boot"),
                *("--register=no", "--keep-unit", "--private-network", "--console=pipe"),
                *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
                *(f"--machine={name}", *nspawn_args),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            start_new_session=True,
        )
        try:
            self.leader = self.wait_for(self._find_leader, "first process")
            self.wait_for(self._is_up, "end of its start")
        except BaseException:
            self.close()
            raise

    @property
    def root(self) -> Path:
        """Its file system, seen from here."""
        return Path(f"/proc/{self.leader}/root")

    def run(self, *command: str, check: bool = True) -> str:
        """A command in it, as its root. What it printed."""
        process = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-a", *command],
            capture_output=True,
            text=True,
            check=False,
        )
        if check and process.returncode:
            raise AssertionError(
                f"{' '.join(command)}: {process.returncode}: {process.stdout}{process.stderr}"
            )
        return process.stdout

    def unit_property(self, unit: str, property_name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={property_name}", unit).strip()

    def pid(self, unit: str) -> int | None:
        """The main process of a unit, as this side numbers it; None while it has none."""
        inside = self.unit_property(unit, "MainPID")
        if inside == "0":
            return None
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                numbers = [line for line in status.read_text().splitlines() if "NSpid" in line]
                space = (status.parent / "ns" / "pid").readlink()
            except OSError:
                continue  # it has just ended
            if space == (Path(f"/proc/{self.leader}/ns/pid")).readlink() and numbers[0].endswith(
                f"\t{inside}"
            ):
                return int(status.parent.name)
        return None

    def journal(self, unit: str) -> str:
        """Return the journal of a unit, with systemd's lines about it."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")

    def wait_for(self, probe: Callable[[], T | None], description: str) -> T:
        """Return the first true result of `probe`. Raises AssertionError after TIMEOUT_S."""
        never_set, deadline_s = threading.Event(), time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline_s:
            found = probe()
            if found:
                return found
            never_set.wait(POLL_INTERVAL_S)
        self._log.seek(0)
        raise AssertionError(
            f"no {description} within {TIMEOUT_S:g} s\n{self._log.read().decode()}"
        )

    def close(self) -> None:
        """End it, without farewell."""
        if hasattr(self, "leader"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.leader, signal.SIGKILL)
        try:
            self._nspawn.wait(10)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        self.wait_for(self._remove_cgroup, "end of the container")
        self._log.close()

    def _remove_cgroup(self) -> bool:
        """Remove the control group, whose processes end a moment after the first one."""
        # Where there are two hierarchies, systemd-nspawn has made the same in the older one.
        roots = [self._cgroup, Path("/sys/fs/cgroup/systemd") / self.name]
        folders = [one for top in roots for one in (top, *top.rglob("*")) if one.is_dir()]
        with contextlib.suppress(OSError):
            for folder in sorted(folders, reverse=True):
                folder.rmdir()
        return not any(top.exists() for top in roots)

    def _find_leader(self) -> int | None:
        if self._nspawn.poll() is not None:
            self._log.seek(0)
            raise AssertionError(f"systemd-nspawn ended: {self._log.read().decode()}")
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text()
        for child in children.split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        return None

    def _is_up(self) -> bool:
        return (
            "active" in self.run("systemctl", "is-active", "multi-user.target", check=False).split()
        )
