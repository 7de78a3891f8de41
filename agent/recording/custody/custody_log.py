"""Custody log: the append-only chain of receipts on the disk, signed by the box.

    custody/0000000001.chain    lines of receipts; the name is the number of the first one
    custody/0000010001.chain
    custody/quarantine/         truncated lines, kept
    custody/lock                held during one append
    custody/reserve             room for a pruning on a full disk

Any number of threads and processes may append: each takes the lock, reads the lines that others have
added, and writes one line. A receipt that was returned is on the disk.
"""

import contextlib
import errno
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.base.atomic_file import fsync_dir, make_dir
from agent.base.clock import Clock, rfc3339
from agent.base.damaged_file import note_lost, set_aside
from agent.base.device_identity import DeviceIdentity
from agent.base.file_lock import LockTimeout, lock_exclusively
from agent.base.file_read import is_regular_or_absent, read_around_damage
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.state_inventory import ChainEnd, InventoryHead, StateInventory
from agent.recording.custody.chain import (
    EMPTY_CHAIN,
    ChainHead,
    ChainPosition,
    find_link_problem,
    is_signed_by,
    position_after,
)
from agent.recording.custody.chain_files import (
    CHAIN_SUFFIX,
    allocate_file,
    append_to_file,
    chain_files,
    create_file,
    first_seq_of_file,
    line_spans_backwards,
    read_file_lines,
    read_lines_backwards,
    truncate_file,
)
from agent.recording.custody.receipts import (
    BadReceipt,
    FileQuarantined,
    FootageExported,
    Receipt,
    ReceiptBody,
    ReceiptLine,
    ReceiptsPruned,
    encode_receipt,
    format_line,
    parse_line,
)
from agent.recording.quarantine import QUARANTINE_DIR, free_quarantine_path, quarantine_file

log = logging.getLogger(__name__)

RECEIPTS_PER_FILE = 10_000
RESERVE_FILE = "reserve"
RESERVE_BYTES = 1_048_576
"""For a receipt of 1 kB and a state inventory that is written again, 100 kB with 2,000 holds; and for what others take of it."""
_FULL_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
_MAX_LOOK_BACK_LINES = 1000
"""So many invalid lines at the end mean that the chain is not this box's."""


class _ReceiptSeq(msgspec.Struct, frozen=True):
    seq: int


_SEQ_DECODER = JsonDecoder(_ReceiptSeq)


class CustodyLog:
    """The chain of one box. Thread-safe; every method but `open` may raise OSError.

    Invariant: `_position` is the last receipt known to be durable, `_tail_path` its file, and `_tail_bytes` the
    offset of its end there. If `_tail_path` is None or `_tail_bytes` is 0 the next receipt begins a file, which may
    be missing.
    """

    def __init__(
        self, folder: Path, box: str, boot: str, clock: Clock, identity: DeviceIdentity
    ) -> None:
        self.folder = self._folder = folder
        self.box = self._box = box
        self._boot = boot
        self._clock = clock
        self._identity = identity
        self._inventory = StateInventory(identity.folder.parent)
        self._public_key = Ed25519PublicKey.from_public_bytes(identity.public_key_raw)
        self._lock = threading.Lock()
        self._is_open = False
        self._position = EMPTY_CHAIN
        self._tail_path: Path | None = None
        self._tail_bytes = 0
        self._unreported_quarantined: deque[str] = deque()
        self.last_export_seq = 0
        """Number of the newest export receipt written or read since `open`."""

    @classmethod
    def open(
        cls, folder: Path, box: str, boot: str, clock: Clock, identity: DeviceIdentity
    ) -> "CustodyLog":
        """Find the chain's end. A truncated line goes to the quarantine, with a receipt.

        If the state inventory lists a later receipt the chain continues after that one: no number is used twice.
        """
        custody = cls(folder, box, boot, clock, identity)
        try:
            with custody._exclusive_lock():
                custody._catch_up()
        except OSError as error:
            # A full or damaged disk must keep the box neither from recording nor from making room.
            log.error("%s: the chain cannot be written yet: %s", folder, error)
        return custody

    def append(self, body: ReceiptBody, t_ns: int) -> Receipt:
        """Sign a receipt and make it durable. `t_ns` is the time of the event.

        The receipt's time is not before that of the previous one in this boot. Raises: OSError, and
        the append may be retried; BadReceipt if the receipt could not be parsed again.
        """
        with self._exclusive_lock():
            self._catch_up()
            return self._append_locked(body, t_ns)

    def head(self) -> ChainHead:
        """Return the newest receipt of all processes; number 0 if there is none."""
        with self._exclusive_lock():
            self._catch_up()
            return self._position.head

    def list_head(self) -> tuple[ChainHead, InventoryHead | None]:
        """Return the newest receipt, and the head of the state inventory with it; None if that cannot be written."""
        with self._exclusive_lock():
            self._catch_up()
            position = self._position
            if not position.seq:
                return position.head, None
            end = ChainEnd(**msgspec.structs.asdict(position))
            try:
                return position.head, self._inventory.list_chain_end(self._folder, end)
            except OSError as error:
                log.error("the state inventory does not list receipt %d: %s", position.seq, error)
                return position.head, None

    def unlist(self, paths: Sequence[Path]) -> None:
        """Expect files of the chain no longer, before they are deleted."""
        self._inventory.remove(*paths)

    def prune(self, paths: Sequence[Path], last_seq: int, t_ns: int) -> None:
        """Delete the oldest files of the chain, up to receipt `last_seq`; a receipt has their numbers.

        The receipt is durable before the first file is deleted, the oldest first: after a kill at any point the
        rest is a chain without a gap. On a full disk the receipt takes the room of the reserve; the lock keeps other
        receipts out of it.
        """
        body = ReceiptsPruned(first_seq=first_seq_of_file(paths[0]), last_seq=last_seq)
        with self._exclusive_lock():

            def append() -> None:
                self._catch_up()
                self._append_locked(body, t_ns)

            self._write_with_reserve(append)
            self._write_with_reserve(lambda: self.unlist(paths))
            for path in paths:
                path.unlink()
            fsync_dir(self._folder)

    def keep_reserve(self) -> None:
        """Take the room of the reserve, if it is not there."""
        with self._exclusive_lock():
            path = self._folder / RESERVE_FILE
            # A power cut during its creation leaves a shorter one.
            if not path.exists() or path.stat().st_size < RESERVE_BYTES:
                allocate_file(path, RESERVE_BYTES)

    def _write_with_reserve(self, write: Callable[[], None]) -> None:
        """Write, and if the disk is full, once more in the room of the reserve."""
        try:
            write()
        except OSError as error:
            path = self._folder / RESERVE_FILE
            if error.errno not in _FULL_DISK_ERRNOS or not path.exists():
                raise
            log.warning("the disk is full: the reserve of the custody log is used")
            path.unlink()
            # ext4 gives the blocks out again once their release is committed.
            fsync_dir(self._folder)
            write()

    def read_lines(self, begin_seq: int = 1, last_seq: int | None = None) -> Iterator[bytes]:
        """Yield the lines with newlines, from one receipt to another, or to the head at the first step.

        Lines are yielded as they are on the disk, also invalid ones.
        """
        last_seq = self.head().seq if last_seq is None else last_seq
        paths = chain_files(self._folder)
        first_seqs = [first_seq_of_file(path) for path in paths]
        skipped_count = sum(1 for begin in first_seqs[1:] if begin <= begin_seq)
        for path in paths[skipped_count:]:
            for seq, line in self._numbered_lines(path):
                if seq > last_seq:
                    return
                if seq >= begin_seq:
                    yield line

    def is_own_line(self, line: bytes) -> bool:
        """Return True if a line is a receipt that this box signed."""
        return self._read_signed_line(line) is not None

    def _numbered_lines(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Yield each line of a file with its number.

        A damaged line may state any number: unless it follows from the line before, the signature is
        checked. An invalid line has the number after the last valid one.
        """
        next_seq = first_seq_of_file(path)
        for line in read_file_lines(path):
            seq = _parse_seq(line)
            if seq is not None and (seq == next_seq or self.is_own_line(line)):
                next_seq = seq + 1
                yield seq, line
            else:
                yield next_seq, line

    def read_lines_backwards(self) -> Iterator[bytes]:
        """Yield the lines like `read_lines_backwards` of this chain's folder."""
        return read_lines_backwards(self._folder)

    @contextlib.contextmanager
    def _exclusive_lock(self) -> Iterator[None]:
        """Lock out other threads and processes. Raises OSError, also LockTimeout."""
        with self._lock:
            make_dir(self._folder, 0o700)
            lock_path = self._folder / "lock"
            if not is_regular_or_absent(lock_path):
                set_aside(lock_path, "is not a regular file")
            if not lock_path.exists():
                create_file(lock_path)
            with lock_path.open("ab") as lock_file:
                lock_exclusively(lock_file.fileno(), lock_path)
                yield

    def _find_tail(self) -> list[str]:
        """Set the position to the last valid receipt; quarantine later files, and what is no file.

        Returns their names.
        """
        later_files = [path for path in chain_files(self._folder) if not is_regular_or_absent(path)]
        tries_left = _MAX_LOOK_BACK_LINES
        for path in reversed(chain_files(self._folder)):
            if path in later_files:
                continue
            data = read_around_damage(path)
            if not data:
                path.unlink()
                continue
            for begin, end in line_spans_backwards(data):
                if not tries_left:
                    break
                tries_left -= 1
                line = self._read_signed_line(data[begin:end])
                if line is not None:
                    self._position, self._tail_path, self._tail_bytes = (
                        position_after(line),
                        path,
                        end,
                    )
                    return [self._quarantine_chain_file(file) for file in reversed(later_files)]
            later_files.append(path)
        return [self._quarantine_chain_file(file) for file in reversed(later_files)]

    def _read_signed_line(self, data: bytes) -> ReceiptLine | None:
        """Parse a line that this box signed, or return None."""
        try:
            line = parse_line(data)
        except BadReceipt:
            return None
        return line if is_signed_by(line, self._public_key) else None

    def _catch_up(self) -> None:
        """Read the lines that other processes added; quarantine a truncated one. At first find the chain's end."""
        if not self._is_open:
            self._open_inventory()
            self._unreported_quarantined.extend(self._find_tail())
            self._is_open = True
        while True:
            if self._tail_path is not None:
                try:
                    size_bytes = self._tail_path.stat().st_size
                except FileNotFoundError:
                    size_bytes = 0
                if size_bytes < self._tail_bytes:
                    note_lost([self._tail_path], "missing: the chain continues in a new file")
                    self._tail_path = None
                elif size_bytes != self._tail_bytes:
                    self._read_new_lines(self._tail_path)
            next_path = self._chain_file_path(self._position.seq + 1)
            if next_path != self._tail_path and next_path.exists():
                self._tail_path, self._tail_bytes = next_path, 0
            elif not self._skip_lost():
                break
        self._append_quarantine_receipts()

    def _open_inventory(self) -> None:
        try:
            self._inventory.open(self._identity)
        except LockTimeout:
            # It is tried again with the next receipt: with the list of another key, or without one, a loss would be noted.
            raise
        except OSError as error:
            log.error("the state inventory cannot be written: %s", error)

    def _skip_lost(self) -> bool:
        """Continue after the newest receipt that the state inventory lists, if it is missing; note the loss."""
        end = self._inventory.chain_end(self._folder)
        if end is None or end.seq <= self._position.seq:
            return False
        first_lost = self._position.seq + 1
        self._position = ChainPosition(**msgspec.structs.asdict(end))
        self._tail_path = None
        if not self._chain_file_path(end.seq + 1).exists():
            lost = self._chain_file_path(first_lost)
            note_lost([lost], f"the receipts {first_lost} to {end.seq} are missing")
        return True

    def _append_quarantine_receipts(self) -> None:
        while self._unreported_quarantined:
            self._append_locked(
                FileQuarantined(camera=None, name=self._unreported_quarantined[0]),
                self._clock.boottime_ns(),
            )
            self._unreported_quarantined.popleft()

    def _read_new_lines(self, path: Path) -> None:
        new_data = read_around_damage(path, self._tail_bytes)
        offset = 0
        while (end := new_data.find(b"\n", offset) + 1) > 0:
            line = self._read_signed_line(new_data[offset:end])
            if line is None or find_link_problem(self._position, line.receipt):
                break
            self._advance(line)
            offset = end
        self._tail_bytes += offset
        torn = new_data[offset:]
        if torn:
            name = self._quarantine_bytes(f"{path.name}.{self._tail_bytes}", torn)
            truncate_file(path, self._tail_bytes)
            self._unreported_quarantined.append(name)

    def _append_locked(self, body: ReceiptBody, t_ns: int) -> Receipt:
        previous = self._position
        if previous.boot == self._boot:
            t_ns = max(t_ns, previous.t_ns)
        receipt = Receipt(
            box=self._box,
            seq=previous.seq + 1,
            prev_sha256=previous.sha256,
            boot=self._boot,
            t_ns=t_ns,
            time=rfc3339(self._clock.utc(t_ns)),
            clock=self._clock.trust(),
            body=body,
        )
        # The next process would take a line that it cannot parse for a truncated one.
        try:
            json = encode_receipt(receipt)
            signature = self._identity.sign(json)
            data = format_line(signature, json)
            line = parse_line(data)
        except UnicodeEncodeError as error:
            raise BadReceipt(f"cannot be encoded: {error}") from error
        path = self._tail_path
        if (
            path is None
            # Another process removes an empty file, and its folder may not be synced.
            or not self._tail_bytes
            or receipt.seq - first_seq_of_file(path) >= RECEIPTS_PER_FILE
        ):
            path = self._chain_file_path(receipt.seq)
            create_file(path)
            self._tail_path, self._tail_bytes = path, 0
        try:
            append_to_file(path, data)
        except OSError:
            # A line that was not returned must not stay. If truncation fails too, a complete line
            # counts as a receipt later, and a truncated one goes to the quarantine.
            with contextlib.suppress(OSError):
                truncate_file(path, self._tail_bytes)
            raise
        self._tail_bytes += len(data)
        self._advance(line)
        return receipt

    def _advance(self, line: ReceiptLine) -> None:
        self._position = position_after(line)
        if isinstance(line.receipt.body, FootageExported):
            self.last_export_seq = line.receipt.seq

    def _chain_file_path(self, seq: int) -> Path:
        return self._folder / f"{seq:010d}{CHAIN_SUFFIX}"

    def _quarantine_bytes(self, name: str, data: bytes) -> str:
        target = free_quarantine_path(self._folder, name)
        create_file(target)
        append_to_file(target, data)
        log.warning(
            "%s: quarantined %d bytes at the chain's end that are not a receipt", target, len(data)
        )
        return f"{QUARANTINE_DIR}/{target.name}"

    def _quarantine_chain_file(self, path: Path) -> str:
        with contextlib.suppress(OSError):
            self._inventory.remove(path)
        target = quarantine_file(path)
        fsync_dir(target.parent)
        fsync_dir(self._folder)
        log.error("%s is not of this chain: quarantined as %s", path, target)
        return f"{QUARANTINE_DIR}/{target.name}"


def _parse_seq(line: bytes) -> int | None:
    try:
        return _SEQ_DECODER.decode(line.partition(b" ")[2]).seq
    except MalformedJson:
        return None
