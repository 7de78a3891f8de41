"""A box of files for the real RAUC: its own D-Bus, its service, a test authority, tiny bundles."""

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.update import bootloader
from agent.update.rauc_backend import open_slots
from agent.update.slots import Slots
from images import certificates, tree
from tests.updates.file_server import FileServer

COMPATIBLE = "vigie-virt-amd64"
REQUIRED_PROGRAMS = ("rauc", "dbus-daemon", "mksquashfs")
WRAPPER_TEMPLATE = """#!/bin/sh
{before}
exec {python} -P -m {module} "$@"
"""
BUS_CONFIG = """<busconfig><type>system</type><listen>unix:path={path}</listen>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow receive_sender="*"/></policy></busconfig>
"""
RAUC_PATHS = {
    "bundle-formats=verity": "bundle-formats=verity plain",
    "/usr/lib/vigie/": "{root}/",
    "/etc/rauc/": "{root}/",
    "/run/rauc": "{root}/mounts",
    "/state/rauc": "{root}/state/rauc",
    "/dev/disk/by-partlabel/": "{root}/",
}
"""The image's configuration, on files."""


class BundleAuthority:
    """The authority that signs bundles."""

    def __init__(self, folder: Path) -> None:
        certificates.make_test_ca(folder)
        self.folder = folder
        self.cert, self.key = folder / "signer.pem", folder / "signer.key"

    def issue(self, extensions: str) -> tuple[Path, Path]:
        """Return the certificate and the key of another subject of this authority."""
        (self.folder / "other.ext").write_text(extensions)
        for words in (
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -out other.csr -subj /CN=casa-0001",
            "x509 -req -days 1 -in other.csr -out other.pem -extfile other.ext -CA ca.pem -CAkey ca.key",
        ):
            subprocess.run(
                ["openssl", *words.split()], cwd=self.folder, check=True, capture_output=True
            )
        return self.folder / "other.pem", self.folder / "other.key"

    def make_bundle(
        self,
        path: Path,
        version: str,
        *,
        bundle_format: str = "verity",
        compatible: str = COMPATIBLE,
        meta: str = "",
        size_bytes: int = 600_000,
        signer: tuple[Path, Path] | None = None,
        intermediate: Path | None = None,
    ) -> Path:
        """A bundle whose images repeat the version's name."""
        content = path.with_suffix(".content")
        content.mkdir()
        for name, size in (("root.img", size_bytes), ("boot.img", 40_000)):
            (content / name).write_bytes(slot_image(name, version, size))
        (content / "manifest.raucm").write_text(
            f"[update]\ncompatible={compatible}\nversion={version}\n[bundle]\nformat={bundle_format}\n{meta}"
            "[image.rootfs]\nfilename=root.img\n[image.boot]\nfilename=boot.img\n"
        )
        cert, key = signer or (self.cert, self.key)
        command = ["rauc", "bundle", f"--cert={cert}", f"--key={key}", content, path]
        if intermediate is not None:
            command.insert(2, f"--intermediate={intermediate}")
        subprocess.run(command, check=True, capture_output=True)
        shutil.rmtree(content)
        return path


def slot_image(name: str, version: str, size_bytes: int = 600_000) -> bytes:
    """Return the content of a slot with a version installed; no two blocks of it are the same."""
    lines = (f"{name} {version} {line}\n".encode() for line in range(size_bytes // 8))
    return b"".join(lines)[:size_bytes]


class UpdateBox:
    """A box whose files begin at `root`, and the service that runs for it."""

    def __init__(self, root: Path, authority: BundleAuthority) -> None:
        self.root = root
        for folder in ("proc", "select", "state/rauc", "etc/rauc", "mounts", "run"):
            (root / folder).mkdir(parents=True)
        block = bootloader.encode_grubenv({"default": "A", "pending": "", "tried": "", "try": ""})
        (root / "select/grubenv").write_bytes(block)
        for name in ("root_a", "root_b", "boot_a", "boot_b"):
            (root / name).write_bytes(bytes(1 << 20))
        self.set_running_slot("A", "1.0.0")
        shutil.copy(authority.folder / "ca.pem", root / "keyring.pem")
        conf = (tree.RECIPE / "rauc-system.conf").read_text().replace("@COMPATIBLE@", COMPATIBLE)
        for path, path_here in RAUC_PATHS.items():
            assert path in conf
            conf = conf.replace(path, path_here.format(root=root))
        self.conf = root / "etc/rauc/system.conf"
        self.conf.write_text(conf)
        self.write_handlers()
        (root / "post-install").symlink_to("/bin/true")
        bus = root / "bus"
        (root / "bus.conf").write_text(BUS_CONFIG.format(path=bus))
        self.environ = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={bus}"}
        self._bus = subprocess.Popen(
            ["dbus-daemon", f"--config-file={root / 'bus.conf'}", "--nofork", "--print-address=1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._bus.stdout
        assert self._bus.stdout.readline()
        self.log = root / "rauc.log"
        self._service: subprocess.Popen[bytes] | None = None
        self.start_service()

    def write_handlers(self, shell_prefix: str = "") -> None:
        """The programs that RAUC starts. `before` is shell, done first by the backend."""
        for name, module, prefix in (
            ("slots", f"agent.update.rauc_backend --root {self.root}", shell_prefix),
            ("pre-install", f"agent.update.pre_install {self.root}", ""),
        ):
            path = self.root / name
            path.write_text(
                WRAPPER_TEMPLATE.format(before=prefix, python=sys.executable, module=module)
            )
            path.chmod(0o755)

    def set_running_slot(self, slot: str, version: str) -> None:
        """It was booted from there."""
        (self.root / "proc/cmdline").write_text(f"quiet root=/dev/vda4 rauc.slot={slot}\n")
        (self.root / "etc/os-release").write_text(f'ID=debian\nIMAGE_VERSION="{version}"\n')

    def start_service(self) -> None:
        """RAUC's service, which queries the booted slot at its start."""
        with self.log.open("ab") as log:
            self._service = subprocess.Popen(
                ["rauc", "-c", self.conf, "service"],
                env=self.environ,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_command = ["gdbus", "wait", "--system", "--timeout", "120", "de.pengutronix.rauc"]
        subprocess.run(wait_command, env=self.environ, check=True)

    def stop_service(self) -> None:
        """The service ends."""
        assert self._service
        self._service.kill()
        self._service.wait()

    def reboot(self, version: str, slot: str = "") -> None:
        """Run the unit that makes the reboot a trial, boot as GRUB does, and run the unit that settles."""
        self.slots.record_stop()
        self.slots.arm_trial()
        self.stop_service()
        path = self.root / "select/grubenv"
        variables = bootloader.decode_grubenv(path.read_bytes())
        booted_slot = slot or variables["try"] or variables["default"]
        path.write_bytes(bootloader.encode_grubenv({**variables, "try": ""}))
        self.set_running_slot(booted_slot, version)
        self.slots.record_boot(version, "2026-11-25T02:00:00Z")
        self.start_service()

    @property
    def slots(self) -> Slots:
        """The slots' states."""
        return open_slots(self.root)

    def run_rauc(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """The command line, as a technician has it."""
        command = ["rauc", "-c", self.conf, *arguments]
        return subprocess.run(
            command, env=self.environ, capture_output=True, text=True, check=False
        )

    def run_vigie_update(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """`vigie update`."""
        command = [sys.executable, "-m", "agent", "update", "--root", self.root, *arguments]
        environ = {**self.environ, "COLUMNS": "80"}
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    def contains_version(self, slot: str, version: str) -> bool:
        """Whether the whole of a version's images lie in a slot."""
        expected = {
            "root": slot_image("root.img", version),
            "boot": slot_image("boot.img", version, 40_000),
        }
        return all(
            (self.root / f"{name}_{slot.lower()}").read_bytes().startswith(data)
            for name, data in expected.items()
        )

    def is_empty(self, slot: str) -> bool:
        """Whether nothing was ever written into it."""
        return not any((self.root / f"root_{slot.lower()}").read_bytes())

    def close(self) -> None:
        """All of it ends."""
        self.stop_service()
        self._bus.terminate()
        self._bus.wait()
        if self._bus.stdout:
            self._bus.stdout.close()
        # A service that was killed leaves its bundle mounted, as a power cut does not.
        for line in Path("/proc/mounts").read_text().splitlines():
            if line.split()[1].startswith(f"{self.root}/"):
                subprocess.run(["umount", line.split()[1]], check=True)


@functools.cache
def can_mount_verity() -> bool:
    """Return True if this kernel makes a device of dm-verity: /dev/mapper/control may be there without the driver."""
    if os.geteuid() != 0 or shutil.which("veritysetup") is None:
        return False
    with tempfile.TemporaryDirectory(prefix="vigie-verity-") as folder:
        data, hashes, name = Path(folder, "data"), Path(folder, "hashes"), Path(folder).name
        data.write_bytes(bytes(1 << 16))
        made = _run_veritysetup("format", data, hashes)
        found = re.search(r"^Root hash:\s*(\w+)$", made.stdout, re.MULTILINE)
        if found is None or _run_veritysetup("open", data, name, hashes, found[1]).returncode:
            return False
        _run_veritysetup("close", name).check_returncode()
        return True


def _run_veritysetup(*words: str | Path) -> subprocess.CompletedProcess[str]:
    # Without udev, which a container has not, libdevmapper makes the nodes itself.
    environ = {**os.environ, "DM_DISABLE_UDEV": "1"}
    command = ["veritysetup", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> BundleAuthority:
    return BundleAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def box(tmp_path: Path, authority: BundleAuthority) -> Iterator[UpdateBox]:
    missing = [name for name in REQUIRED_PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install rauc dbus squashfs-tools")
    made = UpdateBox(tmp_path / "box", authority)
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[FileServer]:
    made = FileServer()
    yield made
    made.close()
