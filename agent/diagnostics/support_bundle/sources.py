"""What goes into a support bundle, each from where it is: the disk, /proc, the journal."""

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509

from agent.app import selftest_result
from agent.config.redaction import Redactor
from agent.diagnostics.support_bundle.format import FILE_MOST_BYTES, Content, LeftOut
from agent.health import flight_recorder, health_file
from agent.health.flight_page import Page
from agent.health.health_file import LiveHealth

JOURNAL_LINES = 4000
JOURNAL_WITHIN_S = 30.0
UNITS = ("vigie-agent", "vigie-selftest", "vigie-boot-good", "vigie-console@*")
RECEIPTS = 200
COMMISSIONED = "commissioned"
_PROC_MOST = 65_536

SYSTEM = (
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
NETWORK = (
    "proc/net/dev",
    "proc/net/route",
    "proc/net/fib_trie",
    "proc/net/if_inet6",
    "etc/resolv.conf",
)


class _Nothing(Exception):
    """Why a file of the bundle is left out."""


class BundleSources(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are. `root` is where /proc, /sys and /etc are."""

    state: Path
    runtime: Path
    root: Path
    scrubber: Redactor
    footage: str
    certificate: Path | None
    read_journal: Callable[[], bytes]

    def all(self) -> tuple[list[Content], list[LeftOut]]:
        """Every file that there is something to put into, and why the others are left out."""
        contents: list[Content] = []
        left_out: list[LeftOut] = []
        for name, gather in self._sources():
            try:
                contents.append(Content(name=name, data=gather()))
            except _Nothing as nothing:
                left_out.append(LeftOut(name=name, why=str(nothing)))
            except OSError as error:
                why = f"{error.filename or name}: {error.strerror or error}"
                left_out.append(LeftOut(name=name, why=self.scrubber.text(why)))
        return contents, left_out

    def _sources(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        yield "health.json", self._health
        yield "selftest.json", self._selftest
        yield "faults.json", self._faults
        yield "flight.ndjson", self._flight
        yield "custody.chain", self._custody
        yield "commissioned.json", self._commissioned
        yield "disk.json", self._disk
        yield "certificate.json", self._certificate
        yield "network.txt", lambda: self._texts(NETWORK) + self._links()
        yield "system.txt", lambda: self._texts(SYSTEM)
        yield "journal.txt", self._journal

    def _live(self) -> LiveHealth | None:
        return health_file.read(self.runtime)

    def _health(self) -> bytes:
        live = self._live()
        if live is None:
            raise _Nothing("the agent has written none in this boot")
        return self._json(msgspec.to_builtins(live))

    def _selftest(self) -> bytes:
        report = selftest_result.read(self.state)
        if report is None:
            raise _Nothing("no self-test has run")
        return self._json(msgspec.to_builtins(report))

    def _faults(self) -> bytes:
        """Those that are active, and what the flight recorder has seen come and go."""
        live = self._live()
        history = list(_history(self._pages()))
        if live is None and not history:
            raise _Nothing("nobody knows of any")
        active = [] if live is None else msgspec.to_builtins(live.report.faults)
        return self._json({"active": active, "history": history})

    def _pages(self) -> list[Page]:
        return flight_recorder.read_pages(self.state / flight_recorder.NAME)

    def _flight(self) -> bytes:
        pages = self._pages()
        if not pages:
            raise _Nothing("there is no flight recorder's file, or no good page in it")
        lines = (msgspec.json.encode(self.scrubber.value(msgspec.to_builtins(p))) for p in pages)
        return b"".join(line + b"\n" for line in lines)

    def _custody(self) -> bytes:
        """The newest receipts, as they were signed; the head is the last one."""
        newest: deque[bytes] = deque(maxlen=RECEIPTS)
        files = sorted((self.state / "custody").glob("*.chain"))[-2:]
        for file in files:
            with file.open("rb") as opened:
                newest.extend(opened)
        # A receipt that was changed would not verify: one with a secret in it is left out whole.
        kept = [line for line in newest if not self.scrubber.is_in(line.decode("utf-8", "replace"))]
        if not kept:
            raise _Nothing("there is no receipt")
        return b"".join(kept)

    def _commissioned(self) -> bytes:
        """The newest record of `vigie commission`, without its pictures."""
        found = sorted((self.state / COMMISSIONED).glob("*/record.json"))
        if not found:
            raise _Nothing("the box was not commissioned")
        try:
            record: Any = msgspec.json.decode(_head_of(found[-1], FILE_MOST_BYTES))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Nothing(f"cannot be read: {error}") from error
        return self._json(record)

    def _disk(self) -> bytes:
        room = os.statvfs(self.state)
        usage: dict[str, Any] = {
            "free_bytes": room.f_bavail * room.f_frsize,
            "total_bytes": room.f_blocks * room.f_frsize,
            "free_inodes": room.f_favail,
            "mount": self._mount(),
            "folders": {entry.name: _bytes_in(entry) for entry in sorted(self.state.iterdir())},
            "footage": {
                camera.name: _ring(camera)
                for camera in sorted((self.state / self.footage).glob("*"))
                if camera.is_dir()
            },
        }
        return self._json(usage)

    def _mount(self) -> str | None:
        """The file system that the state is on: kind and place, without its options."""
        best: tuple[int, str] | None = None
        try:
            lines = _head_of(self.root / "proc/mounts", _PROC_MOST).decode("utf-8", "replace")
        except OSError:
            return None
        for line in lines.splitlines():
            device, place, kind, *_ = [*line.split(" "), "", "", ""]
            if self.state.resolve().is_relative_to(place or "-") and len(place) > (best or (0,))[0]:
                best = len(place), f"{device.rpartition('@')[2]} on {place}, {kind}"
        return None if best is None else best[1]

    def _certificate(self) -> bytes:
        if self.certificate is None:
            raise _Nothing("the configuration names none")
        try:
            found = x509.load_pem_x509_certificate(_head_of(self.certificate, _PROC_MOST))
        except ValueError as error:
            raise _Nothing("it is no certificate in PEM") from error
        return self._json(
            {
                "subject": _name(lambda: found.subject),
                "issuer": _name(lambda: found.issuer),
                "serial": f"{found.serial_number:x}",
                "not_before": found.not_valid_before_utc.isoformat(),
                "not_after": found.not_valid_after_utc.isoformat(),
            }
        )

    def _texts(self, names: tuple[str, ...]) -> bytes:
        parts: list[str] = []
        for name in names:
            try:
                data = _head_of(self.root / name, _PROC_MOST)
            except OSError as error:
                parts.append(f"==> /{name}: {error.strerror}\n")
                continue
            text = data.replace(b"\0", b"").decode("utf-8", "replace")
            parts.append(f"==> /{name}\n{text.rstrip()}\n")
        return self.scrubber.text("\n".join(parts)).encode()

    def _links(self) -> bytes:
        parts = []
        for link in sorted((self.root / "sys/class/net").glob("*")):
            told = [f"{link.name}:"]
            for name in ("operstate", "carrier", "mtu", "speed", "type"):
                try:
                    told.append(f"{name} {_head_of(link / name, 100).decode().strip()}")
                except (OSError, UnicodeDecodeError):
                    continue
            parts.append(" ".join(told))
        return ("\n==> /sys/class/net\n" + "\n".join(parts) + "\n").encode()

    def _journal(self) -> bytes:
        text = self.scrubber.text(self.read_journal().decode("utf-8", "replace"))
        if not text.strip():
            raise _Nothing("it has no line of this box's units")
        return text.encode()

    def _json(self, value: object) -> bytes:
        shown = self.scrubber.value(value)
        return msgspec.json.format(msgspec.json.encode(shown), indent=1) + b"\n"


def journal() -> bytes:
    """The newest lines of the box's units, as far as this user may read them. Raises OSError."""
    program = shutil.which("journalctl")
    if program is None:
        raise FileNotFoundError(2, "there is no journalctl here", "journal")
    units = [f"--unit={unit}" for unit in UNITS]
    options = ["--no-pager", "--quiet", "--output=short-iso", f"--lines={JOURNAL_LINES}"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program with fixed options
            [program, *options, *units],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=JOURNAL_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(110, f"no answer in {JOURNAL_WITHIN_S:g} s", "journalctl") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise OSError(5, said[0] if said else "it failed", "journalctl")
    return done.stdout


def _history(pages: list[Page]) -> Iterator[dict[str, object]]:
    """When each fault came and went, as far as the flight recorder reaches."""
    run, before = "", frozenset[str]()
    for page in pages:
        if page.run != run:
            run, before = page.run, frozenset()
        for sample in page.samples:
            now = frozenset(sample.faults)
            for words, faults in (("came", now - before), ("went", before - now)):
                for fault in sorted(faults):
                    yield {
                        "fault": fault,
                        "what": words,
                        "t_ns": sample.t_ns,
                        "boot": page.boot,
                        "before": page.time,
                    }
            before = now


def _name(read: Callable[[], x509.Name]) -> str | None:
    """None where it is in an alphabet that the library does not read, such as T.61 with accents."""
    try:
        return read().rfc4514_string()
    except ValueError:
        return None


def _head_of(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most)


def _bytes_in(path: Path) -> int | None:
    """What a file or a folder takes; None where it cannot be read."""
    try:
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_size
        return sum(one.lstat().st_size for one in path.rglob("*") if not one.is_dir())
    except OSError:
        return None


def _ring(camera: Path) -> dict[str, object]:
    """How much there is of a camera, and from when to when, by the names of its segments."""
    names = sorted(entry.name for entry in camera.glob("*.mp4"))
    return {
        "segments": len(names),
        "bytes": _bytes_in(camera),
        "oldest": names[0] if names else None,
        "newest": names[-1] if names else None,
        "unfinished": len(list(camera.glob("*.part"))),
    }
