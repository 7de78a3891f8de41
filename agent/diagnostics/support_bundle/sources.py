"""Sources of a support bundle's files: the disk, /proc and the journal."""

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509

from agent.base import pem, selftest_result
from agent.base.json_decode import MalformedJson, decode_any_json
from agent.base.json_format import encode_indented
from agent.base.signed_manifest import BadManifest
from agent.config.redaction import Redactor
from agent.diagnostics.commissioning.certificate import RECORD_FILE, find_newest
from agent.diagnostics.support_bundle.archive_format import MAX_FILE_BYTES, BundleFile, OmittedFile
from agent.health import flight_recorder, health_file
from agent.health.flight_page import FlightPage
from agent.health.health_file import LiveHealth

MAX_JOURNAL_LINES = 4000
JOURNAL_TIMEOUT_S = 30.0
JOURNAL_UNITS = (
    "vigie-agent",
    "vigie-child@*",
    "vigie-selftest",
    "vigie-boot-good",
    "vigie-console@*",
)
MAX_RECEIPTS = 200
_MAX_PROC_BYTES = 65_536

SYSTEM_FILES = (
    "proc/device-tree/model",
    "etc/os-release",
    "proc/version",
    "proc/uptime",
    "proc/loadavg",
    "proc/meminfo",
    "proc/pressure/cpu",
    "proc/pressure/memory",
    "proc/pressure/io",
    "proc/diskstats",
)
NETWORK_FILES = (
    "proc/net/dev",
    "proc/net/route",
    "proc/net/fib_trie",
    "proc/net/if_inet6",
    "etc/resolv.conf",
)


class _NotAvailable(Exception):
    """A file of the bundle is omitted, for the reason in the message."""


class SupportBundleSources(msgspec.Struct, frozen=True, kw_only=True):
    """Locations to read from. `root` is the folder of /proc, /sys and /etc."""

    state_dir: Path
    runtime_dir: Path
    root: Path
    redactor: Redactor
    footage_folder: str
    certificate_file: Path | None
    read_journal: Callable[[], bytes]

    def collect(self) -> tuple[list[BundleFile], list[OmittedFile]]:
        """Return the files that have content, and the omitted ones with their reasons."""
        bundle_files: list[BundleFile] = []
        omitted: list[OmittedFile] = []
        for name, read in self._iter_sources():
            try:
                bundle_files.append(BundleFile(name=name, data=read()))
            except _NotAvailable as unavailable:
                omitted.append(OmittedFile(name=name, reason=str(unavailable)))
            except OSError as error:
                reason = f"{error.filename or name}: {error.strerror or error}"
                omitted.append(OmittedFile(name=name, reason=self.redactor.redact_text(reason)))
        return bundle_files, omitted

    def _iter_sources(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        yield "health.json", self._read_health
        yield "selftest.json", self._read_selftest
        yield "faults.json", self._read_faults
        yield "flight.ndjson", self._read_flight_recorder
        yield "custody.chain", self._read_receipts
        yield "commissioned.json", self._read_commissioning_record
        yield "disk.json", self._read_disk_usage
        yield "certificate.json", self._read_certificate
        yield (
            "network.txt",
            lambda: self._read_text_files(NETWORK_FILES) + self._read_network_links(),
        )
        yield "system.txt", lambda: self._read_text_files(SYSTEM_FILES)
        yield "journal.txt", self._read_journal

    def _read_live_health(self) -> LiveHealth | None:
        return health_file.read(self.runtime_dir)

    def _read_health(self) -> bytes:
        live_health = self._read_live_health()
        if live_health is None:
            raise _NotAvailable("the agent has written no health since boot")
        return self._encode_redacted(msgspec.to_builtins(live_health))

    def _read_selftest(self) -> bytes:
        report = selftest_result.state_file(self.state_dir).read()
        if report is None:
            raise _NotAvailable("no self-test has run")
        return self._encode_redacted(msgspec.to_builtins(report))

    def _read_faults(self) -> bytes:
        """Return the active faults, and the history in the flight recorder."""
        live_health = self._read_live_health()
        history = list(_fault_history(self._read_flight_pages()))
        if live_health is None and not history:
            raise _NotAvailable("neither the agent nor the flight recorder has any")
        active = [] if live_health is None else msgspec.to_builtins(live_health.report.faults)
        return self._encode_redacted({"active": active, "history": history})

    def _read_flight_pages(self) -> list[FlightPage]:
        return flight_recorder.read_pages(self.state_dir / flight_recorder.FILE_NAME)

    def _read_flight_recorder(self) -> bytes:
        pages = self._read_flight_pages()
        if not pages:
            raise _NotAvailable("the flight recorder's file is missing or has no valid page")
        lines = (msgspec.json.encode(self.redactor.redact(msgspec.to_builtins(p))) for p in pages)
        return b"".join(line + b"\n" for line in lines)

    def _read_receipts(self) -> bytes:
        """Return the newest receipts, as they were signed; the last one is the chain's head."""
        newest: deque[bytes] = deque(maxlen=MAX_RECEIPTS)
        files = sorted((self.state_dir / "custody").glob("*.chain"))[-2:]
        for file in files:
            with file.open("rb") as stream:
                newest.extend(stream)
        # A redacted receipt would not verify: one that contains a secret is omitted as a whole.
        clean_lines = [
            line for line in newest if not self.redactor.has_secret(line.decode("utf-8", "replace"))
        ]
        if not clean_lines:
            raise _NotAvailable("no receipt")
        return b"".join(clean_lines)

    def _read_commissioning_record(self) -> bytes:
        """Return the newest record of `vigie commission`, without its pictures."""
        try:
            record_file = find_newest(self.state_dir) / RECORD_FILE
            record = decode_any_json(_read_start(record_file, MAX_FILE_BYTES))
        except BadManifest as error:
            raise _NotAvailable(error.reason) from error
        except MalformedJson as error:
            raise _NotAvailable(f"cannot be read: {error}") from error
        return self._encode_redacted(record)

    def _read_disk_usage(self) -> bytes:
        filesystem = os.statvfs(self.state_dir)
        usage: dict[str, Any] = {
            "free_bytes": filesystem.f_bavail * filesystem.f_frsize,
            "total_bytes": filesystem.f_blocks * filesystem.f_frsize,
            "free_inodes": filesystem.f_favail,
            "mount": self._find_mount(),
            "folders": {
                entry.name: _size_bytes(entry) for entry in sorted(self.state_dir.iterdir())
            },
            "footage": {
                camera.name: _summarize_footage(camera)
                for camera in sorted((self.state_dir / self.footage_folder).glob("*"))
                if camera.is_dir()
            },
        }
        return self._encode_redacted(usage)

    def _find_mount(self) -> str | None:
        """Return the state folder's file system: type and mount point, without its options."""
        best: tuple[int, str] | None = None
        try:
            lines = _read_start(self.root / "proc/mounts", _MAX_PROC_BYTES).decode(
                "utf-8", "replace"
            )
        except OSError:
            return None
        for line in lines.splitlines():
            device, mount_point, fs_type, *_ = [*line.split(" "), "", "", ""]
            if (
                self.state_dir.resolve().is_relative_to(mount_point or "-")
                and len(mount_point) > (best or (0,))[0]
            ):
                best = len(mount_point), f"{device.rpartition('@')[2]} on {mount_point}, {fs_type}"
        return None if best is None else best[1]

    def _read_certificate(self) -> bytes:
        if self.certificate_file is None:
            raise _NotAvailable("no certificate is configured")
        try:
            certificate, *_ = pem.decode_certificates(
                _read_start(self.certificate_file, _MAX_PROC_BYTES)
            )
        except pem.MalformedCertificate as error:
            raise _NotAvailable("not a certificate in PEM") from error
        return self._encode_redacted(
            {
                "subject": _format_name(lambda: certificate.subject),
                "issuer": _format_name(lambda: certificate.issuer),
                "serial": f"{certificate.serial_number:x}",
                "not_before": certificate.not_valid_before_utc.isoformat(),
                "not_after": certificate.not_valid_after_utc.isoformat(),
            }
        )

    def _read_text_files(self, names: tuple[str, ...]) -> bytes:
        parts: list[str] = []
        for name in names:
            try:
                data = _read_start(self.root / name, _MAX_PROC_BYTES)
            except OSError as error:
                parts.append(f"==> /{name}: {error.strerror}\n")
                continue
            text = data.replace(b"\0", b"").decode("utf-8", "replace")
            parts.append(f"==> /{name}\n{text.rstrip()}\n")
        return self.redactor.redact_text("\n".join(parts)).encode()

    def _read_network_links(self) -> bytes:
        parts = []
        for link in sorted((self.root / "sys/class/net").glob("*")):
            attributes = [f"{link.name}:"]
            for name in ("operstate", "carrier", "mtu", "speed", "type"):
                try:
                    attributes.append(f"{name} {_read_start(link / name, 100).decode().strip()}")
                except (OSError, UnicodeDecodeError):
                    continue
            parts.append(" ".join(attributes))
        return ("\n==> /sys/class/net\n" + "\n".join(parts) + "\n").encode()

    def _read_journal(self) -> bytes:
        text = self.redactor.redact_text(self.read_journal().decode("utf-8", "replace"))
        if not text.strip():
            raise _NotAvailable("no line of this box's units")
        return text.encode()

    def _encode_redacted(self, value: object) -> bytes:
        return encode_indented(self.redactor.redact(value))


def query_journal() -> bytes:
    """Return the newest lines of the box's units that this user may read. Raises OSError."""
    program = shutil.which("journalctl")
    if program is None:
        raise FileNotFoundError(2, "journalctl is not installed", "journal")
    units = [f"--unit={unit}" for unit in JOURNAL_UNITS]
    options = ["--no-pager", "--quiet", "--output=short-iso", f"--lines={MAX_JOURNAL_LINES}"]
    try:
        completed = subprocess.run(  # noqa: S603 - a fixed program with fixed options
            [program, *options, *units],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=JOURNAL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(110, f"no answer in {JOURNAL_TIMEOUT_S:g} s", "journalctl") from error
    if completed.returncode != 0:
        stderr_lines = completed.stderr.decode("utf-8", "replace").strip().splitlines()
        raise OSError(5, stderr_lines[0] if stderr_lines else "it failed", "journalctl")
    return completed.stdout


def _fault_history(pages: list[FlightPage]) -> Iterator[dict[str, object]]:
    """Yield when each fault was raised and cleared, as far as the flight recorder reaches."""
    run, active_before = "", frozenset[str]()
    for page in pages:
        if page.run != run:
            run, active_before = page.run, frozenset()
        for sample in page.samples:
            active_now = frozenset(sample.faults)
            for change, faults in (
                ("came", active_now - active_before),
                ("went", active_before - active_now),
            ):
                for fault in sorted(faults):
                    yield {
                        "fault": fault,
                        "what": change,
                        "t_ns": sample.t_ns,
                        "boot": page.boot,
                        "before": page.time,
                    }
            active_before = active_now


def _format_name(read: Callable[[], x509.Name]) -> str | None:
    """Return None if the library cannot decode the name, such as T.61 with accents."""
    try:
        return read().rfc4514_string()
    except ValueError:
        return None


def _read_start(path: Path, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(max_bytes)


def _size_bytes(path: Path) -> int | None:
    """Return the size of a file or folder, or None if it cannot be read."""
    try:
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_size
        return sum(entry.lstat().st_size for entry in path.rglob("*") if not entry.is_dir())
    except OSError:
        return None


def _summarize_footage(camera: Path) -> dict[str, object]:
    """Return the size and the time span of a camera's footage, by the names of its segments."""
    names = sorted(entry.name for entry in camera.glob("*.mp4"))
    return {
        "segments": len(names),
        "bytes": _size_bytes(camera),
        "oldest": names[0] if names else None,
        "newest": names[-1] if names else None,
        "unfinished": len(list(camera.glob("*.part"))),
    }
