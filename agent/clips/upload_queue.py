"""Upload queue: the clips that are to be uploaded, one state file each.

    uploads/<upload id>.json    a state file: the command, how far it is, and its outcome
    uploads/<upload id>.file    the file to upload, once it is made
    uploads/<command id>.accepted    a state file: a command that was accepted, and whose uploads are not all queued yet

The folder has mode 0700. The addresses are removed from the state file when the upload has ended.
"""

import contextlib
import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agent.base.atomic_file import fsync_dir
from agent.base.damaged_file import is_set_aside
from agent.base.file_read import is_regular_or_absent
from agent.base.model import RefusalCode
from agent.base.state_file import StateFile
from agent.base.view_condition import Light
from agent.clips.clip_task import MadeFile, UploadForm, UploadProgress, made_path, making_folder
from agent.clips.upload_target import UploadTarget
from agent.commands.command import ValidCommand
from agent.commands.requester import CommandRejected

log = logging.getLogger(__name__)

UPLOADS_DIR = "uploads"
"""The folder in the state folder."""
MAX_PENDING = 16
MAX_ENDED = 64
"""Outcomes that are kept, for a command that comes again."""
LIFETIME_S = 3 * 86_400.0
"""From the command to the end of the last try: a weekend without a link."""
_RECORD_SUFFIX, _FILE_SUFFIX, _ACCEPTED_SUFFIX = ".json", ".file", ".accepted"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an upload has ended: without `code` it is complete."""

    code: RefusalCode | None = None
    message: str = ""


class ClipDraw(msgspec.Struct, frozen=True, kw_only=True):
    """How a clip was drawn by chance: the light of its span, and the `seed` of all clips of its command.

    `address` is the number of its address in the command. `footage_s` are the seconds of footage that the clips of each
    light were drawn from.
    """

    light: Light
    seed: int
    address: int
    footage_s: dict[Light, int]


class UploadRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One upload. Its `id` is that of its command, with a number behind if the command has several: see `draw`.

    `number` counts up in the order of the commands; `command` is without the addresses.
    `accepted_unix_s` is None until the clock can be trusted.

    `by` is the requester in receipts, `viewer` the name that an owner may have listed. A support bundle has no
    `camera`, and no span.
    `sent_bytes` are all bytes that were sent, repeated ones too. `is_answered`: the requester's reply was
    handed to the outbox.
    """

    id: str
    number: int
    command: ValidCommand
    accepted_unix_s: float | None
    camera: str
    begin: str
    end: str
    form: UploadForm
    by: str
    viewer: str
    is_emergency: bool
    purpose: str
    host: str
    target: UploadTarget | None
    draw: ClipDraw | None = None
    made: MadeFile | None = None
    progress: UploadProgress = UploadProgress()
    sent_bytes: int = 0
    outcome: Outcome | None = None
    is_answered: bool = False


class UploadQueue:
    """The queue of one box. Thread-safe. Methods that change it raise OSError if the disk refuses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._records: dict[str, UploadRecord] = {}
        self._accepted: dict[str, ValidCommand] = {}

    @classmethod
    def open(cls, state_dir: Path) -> "UploadQueue":
        """Read the records, set damaged ones aside, and delete files that belong to none."""
        queue = cls(state_dir / UPLOADS_DIR)
        try:
            queue._load()
        except OSError as error:
            # A disk that takes nothing must not keep the box from recording.
            log.error("%s: %s", queue._folder, error)
        return queue

    def _load(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        names = sorted(path.name for path in self._folder.iterdir())
        for name in names:
            if name.endswith(_RECORD_SUFFIX) and not name.startswith("."):
                record = self._state_file(name.removesuffix(_RECORD_SUFFIX)).load()
                if record is not None:
                    self._records[record.id] = record
        self._load_accepted(names)
        kept = {self.file_of(record.id).name for record in self._pending()}
        for name in names:
            path = self._folder / name
            is_state = name.endswith((_RECORD_SUFFIX, _ACCEPTED_SUFFIX))
            if name not in kept and not is_state and not is_set_aside(name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _load_accepted(self, names: Sequence[str]) -> None:
        """Read the commands whose uploads were not all queued, and delete the uploads that were."""
        for name in names:
            if name.endswith(_ACCEPTED_SUFFIX) and not name.startswith("."):
                command = self._accepted_file(name.removesuffix(_ACCEPTED_SUFFIX)).load()
                if command is not None:
                    self._accepted[command.id] = command
        for record in tuple(self._records.values()):
            if record.command.id in self._accepted:
                self._delete_record(record.id)

    def file_of(self, upload_id: str) -> Path:
        """Return the path of the file to upload."""
        return self._folder / (upload_id + _FILE_SUFFIX)

    def empty_making_folder(self, upload_id: str) -> Path:
        """Return the empty folder in which the file of an upload is to be made."""
        folder = making_folder(self.file_of(upload_id))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def take_made(self, upload_id: str, made: MadeFile) -> None:
        """Give the file that was made its name, durably, and store that."""
        file = self.file_of(upload_id)
        source = made_path(making_folder(file))
        if not is_regular_or_absent(source):
            raise OSError(f"{source}: is not a regular file")
        source.rename(file)
        fsync_dir(self._folder)
        shutil.rmtree(source.parent, ignore_errors=True)
        self.update(upload_id, lambda old: msgspec.structs.replace(old, made=made))

    def note_accepted(self, command: ValidCommand) -> None:
        """Store a command, without its addresses, whose uploads are queued after it was accepted."""
        with self._lock:
            self._accepted_file(command.id).write(command)
            self._accepted[command.id] = command

    def forget_accepted(self, command_id: str) -> None:
        """Forget a command that has ended before its uploads were queued."""
        with self._lock:
            if self._accepted.pop(command_id, None) is not None:
                # If the file stays, the next start answers a second time, which does no harm.
                with contextlib.suppress(OSError):
                    self._accepted_file(command_id).delete()

    def accepted(self) -> tuple[ValidCommand, ...]:
        """Return the commands that were accepted, and whose uploads are not queued."""
        with self._lock:
            return tuple(self._accepted.values())

    def find(self, upload_id: str) -> UploadRecord | None:
        """Return a record, or None."""
        with self._lock:
            return self._records.get(upload_id)

    def of_command(self, command_id: str) -> tuple[UploadRecord, ...]:
        """Return the uploads of a command, in order."""
        with self._lock:
            found = [each for each in self._records.values() if each.command.id == command_id]
        return tuple(sorted(found, key=lambda record: record.number))

    def add(self, *records: UploadRecord) -> None:
        """Store the new uploads of one command, with the next numbers: all of them, or none, also after a power cut.

        Raises: CommandRejected if there are too many.
        """
        with self._lock:
            waiting = len(self._pending())
            if waiting + len(records) > MAX_PENDING:
                raise CommandRejected(
                    "busy", f"{waiting} uploads wait already; allowed: {MAX_PENDING}"
                )
            last = max((each.number for each in self._records.values()), default=0)
            try:
                for number, record in enumerate(records, start=last + 1):
                    self._write(msgspec.structs.replace(record, number=number))
                # Until this file is deleted, the next start deletes the records.
                for command_id in {record.command.id for record in records} & set(self._accepted):
                    self._accepted_file(command_id).delete()
                    del self._accepted[command_id]
            except OSError:
                for record in records:
                    with contextlib.suppress(OSError):
                        self._delete_record(record.id)
                raise
            self._changed.notify()

    def wait_for_upload(self, timeout_s: float, stopping: threading.Event) -> None:
        """Return if an upload is pending, after `timeout_s`, or after `wake` if `stopping` is set."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending() or stopping.is_set(), timeout_s)

    def wake(self) -> None:
        """Have `wait_for_upload` look at its `stopping`."""
        with self._changed:
            self._changed.notify()

    def update(
        self, upload_id: str, change: Callable[[UploadRecord], UploadRecord]
    ) -> UploadRecord:
        """Store a change of a record, and return the new one."""
        with self._lock:
            record = change(self._records[upload_id])
            self._write(record)
            return record

    def end(self, upload_id: str, outcome: Outcome) -> UploadRecord:
        """Store an outcome, forget the addresses, and delete the file."""
        record = self.update(
            upload_id,
            lambda old: msgspec.structs.replace(
                old, outcome=outcome, target=None, progress=UploadProgress()
            ),
        )
        file = self.file_of(upload_id)
        file.unlink(missing_ok=True)
        shutil.rmtree(making_folder(file), ignore_errors=True)
        self._forget_oldest()
        return record

    def pending(self) -> list[UploadRecord]:
        """Return the uploads that have not ended: those of an emergency first, then in order."""
        with self._lock:
            return self._pending()

    def unanswered(self) -> list[UploadRecord]:
        """Return the uploads that have ended, and whose requester may not know."""
        with self._lock:
            return [
                record
                for record in self._records.values()
                if record.outcome is not None and not record.is_answered
            ]

    def file_bytes(self) -> int:
        """Return the bytes of all files that wait."""
        total_bytes = 0
        for path in self._folder.glob(f"*{_FILE_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                total_bytes += path.stat().st_size
        return total_bytes

    def _pending(self) -> list[UploadRecord]:
        pending = (record for record in self._records.values() if record.outcome is None)
        return sorted(pending, key=lambda record: (not record.is_emergency, record.number))

    def _write(self, record: UploadRecord) -> None:
        self._state_file(record.id).write(record)
        self._records[record.id] = record

    def _forget_oldest(self) -> None:
        """Delete the oldest outcomes beyond MAX_ENDED that were answered, and the others of their commands."""
        with self._lock:
            ended = sorted(
                (record for record in self._records.values() if record.is_answered),
                key=lambda record: record.number,
            )
            commands = {record.command.id for record in ended[:-MAX_ENDED]}
            for record in [one for one in ended if one.command.id in commands]:
                self._delete_record(record.id)

    def _delete_record(self, upload_id: str) -> None:
        self._records.pop(upload_id, None)
        self._state_file(upload_id).delete()

    def _accepted_file(self, command_id: str) -> StateFile[ValidCommand]:
        return StateFile(self._folder / (command_id + _ACCEPTED_SUFFIX), ValidCommand)

    def _state_file(self, upload_id: str) -> StateFile[UploadRecord]:
        return StateFile(self._folder / (upload_id + _RECORD_SUFFIX), UploadRecord)
