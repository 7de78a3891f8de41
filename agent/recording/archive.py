"""The wiring of `vigie footage`: a box's state folder, read and added to while its agent runs or
not. What is shared with the agent is shared through the disk; only a clip of sealed footage is asked
for, of the agent that has the keys.
"""

import base64
import os
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.clock import Clock, boot_id
from agent.base.device_identity import KEY_FILE, DeviceIdentity
from agent.base.errors import UserError
from agent.base.uuid7 import uuid7_maker
from agent.config import configuration
from agent.config.configuration import RecordConfig
from agent.recording import catalogue, owner_policy
from agent.recording.catalogue import FootageEntry
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import Attested, BadReceipt, read_line
from agent.recording.encryption import seal
from agent.recording.encryption.keys import KeyFor, SegmentKey
from agent.recording.export import clip_server
from agent.recording.export.exporter import Exporter, ExportResult, listed
from agent.recording.export.html_pages import ExportPageText
from agent.recording.mask_store import MASKS
from agent.recording.owner_policy import Terms
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldStore
from agent.recording.segment_name import KEYS, rfc3339

Progress = Callable[[int, int], None]

_JOINED = timedelta(seconds=2)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RecordedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Footage of one camera without a gap, all of a kind. `end` is None while it is written."""

    camera: str
    begin: datetime
    end: datetime | None
    segments: int
    size_bytes: int
    clock_synced: bool
    sealed: bool
    receipts: bool


class FootageArchive:
    """The footage of one box. Raises BadInput for what cannot be, OSError from the disk."""

    def __init__(
        self, state: Path, footage: Path, box: str | None, clock: Clock, configured: Terms
    ) -> None:
        self._configured = configured
        self._state = state
        self._footage = footage
        self._custody = state / "custody"
        self._box = box
        self._clock = clock

    @classmethod
    def of_config(cls, path: Path, clock: Clock) -> "FootageArchive":
        """That of the box of a configuration."""
        config = configuration.load(path)
        state = Path(config.box.state)
        configured = {one.name: one.institution for one in config.camera if one.institution}
        return cls(state, state / config.record.folder, config.box.id, clock, configured)

    @classmethod
    def of_state(cls, state: Path, clock: Clock) -> "FootageArchive":
        """That of a state folder whose footage lies where it lies by default."""
        if not state.is_dir():
            raise UserError(f"--state {str(state)!r}: no such folder")
        return cls(state, state / RecordConfig().folder, None, clock, {})

    def now(self) -> datetime:
        """The moment that relative times count from."""
        return self._clock.utc(self._clock.boottime_ns())

    def cameras(self, camera: str | None) -> list[str]:
        """This camera, or every one that has footage."""
        names = catalogue.cameras(self._footage)
        if camera is None:
            return names
        if camera not in names:
            allowed = ", ".join(names) or "none has footage here"
            raise UserError(f"--camera {camera!r}: no such camera; allowed: {allowed}")
        return [camera]

    def find(
        self, camera: str | None, begin: datetime | None, end: datetime | None
    ) -> list[FootageEntry]:
        """The segments that touch a span."""
        names = self._spanned(camera, begin, end)
        return catalogue.find(self._footage, self._custody, names, begin, end)

    def export(
        self, wish: ExportPageText, key: X25519PrivateKey | None, progress: Progress
    ) -> ExportResult:
        """Export a span; `key` is a recipient's, and opens what is sealed. Without it the running
        agent is asked for the clip.

        Raises CannotExport where there is nothing to export, and BadInput where `wish.by` may not
        see the camera.
        """
        for known in (owner_policy.read(self._state), self._configured):
            owner_policy.check_viewer(known, wish.camera, wish.by)
        (camera,) = self._spanned(wish.camera, wish.begin, wish.end)
        custody, public_key = self._chain()
        found = listed(custody, self._footage, camera, wish.begin, wish.end)
        exporter = Exporter(
            box=self._box_id(),
            public_key=public_key,
            custody=custody,
            clock=self._clock,
            key_for=_opened(found.entries, key),
            masks=self._state / MASKS,
            ask_agent=lambda request, out: clip_server.ask(self._state, request, out),
        )
        return exporter.export(wish, found, progress)

    def hold(
        self, camera: str, begin: datetime, end: datetime, *, owner: str, reason: str, days: float
    ) -> Hold:
        """Keep a span from eviction; the agent, now or when it starts, notes it in the chain."""
        (name,) = self.cameras(camera)
        self._check_owner()
        return self._holds().hold(name, begin, end, owner=owner, reason=reason, days=days)

    def release(self, hold_id: str, *, by: str, reason: str) -> Hold:
        """Let go of a hold."""
        self._check_owner()
        return self._holds().release(hold_id, by=by, reason=reason)

    def holds(self) -> tuple[Hold, ...]:
        """All that is held."""
        return self._holds().active()

    def attest(self) -> tuple[Attested, ...]:
        """Say in the chain of custody what footage of each camera there is, and since when."""
        custody, _ = self._chain()
        made: list[Attested] = []
        for camera in self.cameras(None):
            entries = self.find(camera, None, None)
            body = Attested(
                camera=camera,
                oldest_time=rfc3339(entries[0].name.utc) if entries else None,
                segments=len(entries),
                bytes=sum(entry.size_bytes for entry in entries),
            )
            custody.append(body, self._clock.boottime_ns())
            made.append(body)
        return tuple(made)

    def _spanned(
        self, camera: str | None, begin: datetime | None, end: datetime | None
    ) -> list[str]:
        """The cameras that a span is asked of."""
        if begin is not None and end is not None and end <= begin:
            raise UserError("--to: not after --from")
        return self.cameras(camera)

    def _holds(self) -> HoldStore:
        new_id = uuid7_maker(self._unix_ns, random.Random())  # noqa: S311 - names, no secrets
        return HoldStore(self._state / "holds", self._clock, boot_id(), new_id)

    def _chain(self) -> tuple[CustodyLog, str]:
        """The chain to add to, and the public half of the key that signs it."""
        self._check_owner()
        identity = DeviceIdentity.load_or_make(self._state / "identity")
        custody = CustodyLog.open(self._custody, self._box_id(), boot_id(), self._clock, identity)
        return custody, base64.b64encode(identity.public_key_raw).decode()

    def _check_owner(self) -> None:
        """Only the agent's own user may add: files of another's would stop the agent itself."""
        key = self._state / "identity" / KEY_FILE
        try:
            owner = key.stat().st_uid
        except FileNotFoundError as error:
            raise UserError(f"state folder {str(self._state)!r}: no agent has run here") from error
        except PermissionError as error:
            raise UserError(f"state folder {str(self._state)!r}: not yours to read") from error
        if owner != os.geteuid():
            raise UserError(
                f"state folder {str(self._state)!r}: belongs to the agent's user; "
                f"allowed: sudo -u '#{owner}' vigie footage ..."
            )

    def _box_id(self) -> str:
        if self._box is None:
            self._box = _box_of(self._custody)
        if self._box is None:
            raise UserError(f"state folder {str(self._state)!r}: its chain has no receipt")
        return self._box

    def _unix_ns(self, t_ns: int) -> int:
        return (self._clock.utc(t_ns) - _EPOCH) // timedelta(microseconds=1) * 1000


def stretches(entries: Sequence[FootageEntry]) -> Iterator[RecordedSpan]:
    """Segments joined where one follows another."""
    open_one: RecordedSpan | None = None
    for index, entry in enumerate(entries):
        following = entries[index + 1] if index + 1 < len(entries) else None
        end = entry.end
        if end is None and not entry.writing and following is not None:
            end = following.begin if following.camera == entry.camera else None
        one = RecordedSpan(
            camera=entry.camera,
            begin=entry.begin,
            end=end,
            segments=1,
            size_bytes=entry.size_bytes,
            clock_synced=entry.name.synced,
            sealed=is_sealed(entry),
            receipts=entry.closed is not None or entry.writing,
        )
        if open_one is not None and _follows(open_one, one):
            open_one = msgspec.structs.replace(
                open_one,
                end=one.end,
                segments=open_one.segments + 1,
                size_bytes=open_one.size_bytes + one.size_bytes,
            )
            continue
        if open_one is not None:
            yield open_one
        open_one = one
    if open_one is not None:
        yield open_one


def is_sealed(entry: FootageEntry) -> bool:
    """Whether a segment is sealed."""
    if entry.closed is not None:
        return entry.closed.sealed
    return entry.path.with_name(entry.text + KEYS).exists()


def _follows(before: RecordedSpan, after: RecordedSpan) -> bool:
    alike = (before.camera, before.clock_synced, before.sealed, before.receipts) == (
        after.camera,
        after.clock_synced,
        after.sealed,
        after.receipts,
    )
    return alike and before.end is not None and abs(after.begin - before.end) < _JOINED


def _opened(entries: Sequence[FootageEntry], key: X25519PrivateKey | None) -> KeyFor:
    """The keys of sealed segments, opened by a recipient's private key."""
    keys: dict[bytes, SegmentKey] = {}
    if key is not None:
        for entry in entries:
            sidecar = entry.path.with_name(entry.text + KEYS)
            if sidecar.exists():
                opened = seal.open_sidecar(sidecar, key)
                keys[opened.kid] = opened
    return keys.get


def _box_of(custody: Path) -> str | None:
    """The box that the newest receipt is of."""
    for path in sorted(custody.glob("*.chain"), reverse=True):
        for text in reversed(path.read_bytes().splitlines()):
            try:
                return read_line(text).receipt.box
            except BadReceipt:
                continue
    return None
