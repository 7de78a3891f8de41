"""The chain of receipts on the disk, which the box signs and only ever adds to.

    custody/0000000001.chain    lines of receipts; the name is the number of the first
    custody/0000010001.chain
    custody/set-aside/          torn ends, kept
    custody/lock                held for the length of one append

Any number of threads and processes may append: each takes the lock, reads what others have added
since, and writes one line. A receipt that was returned is on the disk.
"""

import contextlib
import fcntl
import logging
import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.base.atomic_file import fsync_dir
from agent.base.clock import Clock
from agent.base.device_identity import DeviceIdentity
from agent.recording.custody.chain import BEGINNING, ChainHead, broken_link, is_signed, place
from agent.recording.custody.receipts import (
    BadReceipt,
    Body,
    Exported,
    Receipt,
    ReceiptLine,
    SetAside,
    encode,
    read_line,
    write_line,
)
from agent.recording.recovery import SET_ASIDE
from agent.recording.segment_name import rfc3339

log = logging.getLogger(__name__)

RECEIPTS_PER_FILE = 10_000
SUFFIX = ".chain"
_LOOK_BACK_LINES = 1000
"""So many bad lines at the end of what is there mean that it is not this box's chain."""


class _Seq(msgspec.Struct, frozen=True):
    seq: int


_SEQ = msgspec.json.Decoder(_Seq)


class CustodyLog:
    """The chain of one box. Any thread may call; every method may raise OSError.

    Invariant: `_place` is the last receipt that is known to be durable, `_path` the file that it
    is in (None where the next receipt begins a file), and `_good_bytes` where it ends there.
    """

    def __init__(
        self, folder: Path, box: str, boot: str, clock: Clock, identity: DeviceIdentity
    ) -> None:
        self.folder = self._folder = folder
        self.box = self._box = box
        self._boot = boot
        self._clock = clock
        self._identity = identity
        self._public_key = Ed25519PublicKey.from_public_bytes(identity.public_key_raw)
        self._lock = threading.Lock()
        self._place = BEGINNING
        self._path: Path | None = None
        self._good_bytes = 0
        self._untold: deque[str] = deque()
        self.exported_seq = 0
        """The newest receipt of an export that was written or read since `open`."""

    @classmethod
    def open(
        cls, folder: Path, box: str, boot: str, clock: Clock, identity: DeviceIdentity
    ) -> "CustodyLog":
        """Find the chain's end. What a cut has torn is set aside, and a receipt says so."""
        custody = cls(folder, box, boot, clock, identity)
        with custody._locked():
            custody._untold.extend(custody._find_end())
            try:
                custody._catch_up()
            except OSError as error:
                # A full disk must not keep the box from making room: the next append tries again.
                log.error("%s: the chain cannot be written yet: %s", folder, error)
        return custody

    def append(self, body: Body, t_ns: int) -> Receipt:
        """Sign a receipt and make it durable. `t_ns` is when it happened; the receipt's own time
        is not before that of the one before it in this boot.

        Where OSError is raised the receipt may be tried again. Raises BadReceipt, and writes nothing,
        where nobody could read what is to be said.
        """
        with self._locked():
            self._catch_up()
            return self._add(body, t_ns)

    def head(self) -> ChainHead:
        """The newest receipt, of whichever process; number 0 where there is none."""
        with self._locked():
            self._catch_up()
            return self._place.head

    def read(self, begin_seq: int = 1) -> Iterator[bytes]:
        """The lines, with their newlines, from one receipt on up to the head at the first step.
        Lines are given as they lie on the disk, whether or not they are good.
        """
        last_seq = self.head().seq
        files = self.files()
        begins = [first_seq(path) for path in files]
        skipped = sum(1 for begin in begins[1:] if begin <= begin_seq)
        wanted = False
        for path in files[skipped:]:
            with path.open("rb") as file:
                for line in file:
                    seq = _seq(line)
                    if seq is not None and seq > last_seq:
                        return
                    wanted = wanted or (seq is not None and seq >= begin_seq)
                    if wanted and line.endswith(b"\n"):
                        yield line

    def read_back(self) -> Iterator[bytes]:
        """The lines, with their newlines, the newest first, as they lie on the disk. What is written
        meanwhile may be missing, and so may what is forgotten.
        """
        for path in reversed(self.files()):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            end = data.rfind(b"\n") + 1
            while end:
                begin = data.rfind(b"\n", 0, end - 1) + 1
                yield data[begin:end]
                end = begin

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Against other threads, and other processes: flock(2) ends with its holder."""
        with self._lock:
            if not self._folder.is_dir():
                # Another process may be first.
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                fsync_dir(self._folder.parent)
            lock = self._folder / "lock"
            if not lock.exists():
                _create(lock)
            with lock.open("ab") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                yield

    def files(self) -> list[Path]:
        """The files of the chain, in order."""
        return sorted(
            path
            for path in self._folder.glob(f"*{SUFFIX}")
            if path.stem.isascii() and path.stem.isdecimal()
        )

    def _find_end(self) -> list[str]:
        """Set `_place`, `_path` and `_good_bytes` to the last good receipt; move the files after
        it aside, and give their new names.
        """
        after: list[Path] = []
        tries = _LOOK_BACK_LINES
        for path in reversed(self.files()):
            data = path.read_bytes()
            if not data:
                path.unlink()
                continue
            end = data.rfind(b"\n") + 1
            while end and tries:
                begin = data.rfind(b"\n", 0, end - 1) + 1
                line = self._read_own(data[begin:end])
                if line is not None:
                    self._place, self._path, self._good_bytes = place(line), path, end
                    return [self._move_aside(file) for file in reversed(after)]
                end, tries = begin, tries - 1
            after.append(path)
        return [self._move_aside(file) for file in reversed(after)]

    def _read_own(self, text: bytes) -> ReceiptLine | None:
        """A line that this box has signed, or None."""
        try:
            line = read_line(text)
        except BadReceipt:
            return None
        return line if is_signed(line, self._public_key) else None

    def _catch_up(self) -> None:
        """Take in what other processes have added; set aside what one has left torn."""
        while True:
            if self._path is not None:
                try:
                    size_bytes = self._path.stat().st_size
                except FileNotFoundError:
                    log.error("%s is gone: the chain goes on in a new file", self._path)
                    self._path = None
                else:
                    if size_bytes != self._good_bytes:
                        self._take_in(self._path)
            following = self._file_of(self._place.seq + 1)
            if following == self._path or not following.exists():
                break
            self._path, self._good_bytes = following, 0
        self._tell_set_aside()

    def _tell_set_aside(self) -> None:
        while self._untold:
            self._add(SetAside(camera=None, name=self._untold[0]), self._clock.boottime_ns())
            self._untold.popleft()

    def _take_in(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self._good_bytes)
            rest = file.read()
        at = 0
        while (end := rest.find(b"\n", at) + 1) > 0:
            line = self._read_own(rest[at:end])
            if line is None or broken_link(self._place, line.receipt):
                break
            self._advance(line)
            at = end
        self._good_bytes += at
        torn = rest[at:]
        if torn:
            name = self._keep_aside(f"{path.name}.{self._good_bytes}", torn)
            _truncate(path, self._good_bytes)
            self._untold.append(name)

    def _add(self, body: Body, t_ns: int) -> Receipt:
        before = self._place
        if before.boot == self._boot:
            t_ns = max(t_ns, before.t_ns)
        receipt = Receipt(
            box=self._box,
            seq=before.seq + 1,
            prev=before.sha256,
            boot=self._boot,
            t_ns=t_ns,
            time=rfc3339(self._clock.utc(t_ns)),
            clock=self._clock.trust(),
            body=body,
        )
        # What the next process could not read it would take for the chain's torn end.
        try:
            json = encode(receipt)
            signature = self._identity.sign(json)
            text = write_line(signature, json)
            line = read_line(text)
        except UnicodeEncodeError as error:
            raise BadReceipt(f"not to be written: {error}") from error
        path = self._path
        if path is None or receipt.seq - first_seq(path) >= RECEIPTS_PER_FILE:
            path = self._file_of(receipt.seq)
            self._path, self._good_bytes = path, 0
            _create(path)
        try:
            _write(path, text)
        except OSError:
            # A line that nobody was told of must not stay. Where even that fails, a whole line
            # counts as a receipt later, and a torn one is set aside.
            with contextlib.suppress(OSError):
                _truncate(path, self._good_bytes)
            raise
        self._good_bytes += len(text)
        self._advance(line)
        return receipt

    def _advance(self, line: ReceiptLine) -> None:
        self._place = place(line)
        if isinstance(line.receipt.body, Exported):
            self.exported_seq = line.receipt.seq

    def _file_of(self, seq: int) -> Path:
        return self._folder / f"{seq:010d}{SUFFIX}"

    def _keep_aside(self, name: str, data: bytes) -> str:
        target = self._free_aside(name)
        _create(target)
        _write(target, data)
        log.warning("%s: %d bytes at the chain's end are no receipt", target, len(data))
        return f"{SET_ASIDE}/{target.name}"

    def _move_aside(self, path: Path) -> str:
        target = self._free_aside(path.name)
        path.rename(target)
        fsync_dir(target.parent)
        fsync_dir(self._folder)
        log.error("%s is not of this chain: set aside as %s", path, target)
        return f"{SET_ASIDE}/{target.name}"

    def _free_aside(self, name: str) -> Path:
        aside = self._folder / SET_ASIDE
        if not aside.is_dir():
            aside.mkdir()
            fsync_dir(self._folder)
        target = aside / name
        number = 0
        while target.exists():
            number += 1
            target = aside / f"{name}.{number}"
        return target


def first_seq(path: Path) -> int:
    """The number of the first receipt in a file of the chain, by its name."""
    return int(path.stem)


def _seq(line: bytes) -> int | None:
    try:
        return _SEQ.decode(line.partition(b" ")[2]).seq
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _create(path: Path) -> None:
    """Make an empty file, durable in its folder."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.close(handle)
    fsync_dir(path.parent)


def _write(path: Path, data: bytes) -> None:
    """Add to a file that is there, durable when it returns. A descriptor whose fdatasync(2) has
    failed is never used again: the kernel tells of an error once.
    """
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fdatasync(handle)
    finally:
        os.close(handle)


def _truncate(path: Path, size_bytes: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(handle, size_bytes)
        os.fdatasync(handle)
    finally:
        os.close(handle)
