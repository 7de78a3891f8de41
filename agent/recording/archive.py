"""Footage archive of one box, for `vigie footage`, whether its agent runs or not.

It shares only files with the agent, except that the agent, which has the keys, cuts clips of sealed
footage.
"""

import base64
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.clock import Clock, boot_id, rfc3339, unix_ns
from agent.base.device_identity import DeviceIdentity
from agent.base.errors import UserError
from agent.base.message import Message
from agent.base.progress import ProgressCallback
from agent.base.uuid7 import uuid7_factory
from agent.config import configuration
from agent.config.recording import FOOTAGE_DIR
from agent.recording import mask_store, owner_policy
from agent.recording.catalogue import FootageEntry
from agent.recording.custody.chain import is_signed_by
from agent.recording.custody.chain_files import read_lines_backwards
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import BadReceipt, FootageAttested, parse_line
from agent.recording.encryption import key_wrapping
from agent.recording.encryption.keys import KeyLookup, SegmentKey
from agent.recording.export import clip, clip_server
from agent.recording.export.clip_request import ClipRequest
from agent.recording.export.export_request import ExportRequest
from agent.recording.export.exporter import (
    Exporter,
    ExportResult,
    SpanFootage,
    SpanSnapshot,
    list_span,
    snapshot_span,
)
from agent.recording.footage_listing import FootageListing, check_state_dir
from agent.recording.mask_store import MASKS_DIR
from agent.recording.owner_policy import OwnerPolicies
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldStore
from agent.recording.segment_name import KEYS_SUFFIX


class FootageArchive(FootageListing):
    """Footage of one box.

    Its methods raise UserError for invalid arguments, and OSError.
    """

    def __init__(
        self,
        state_dir: Path,
        footage_dir: Path,
        box_id: str | None,
        clock: Clock,
        policies: OwnerPolicies,
    ) -> None:
        super().__init__(state_dir, footage_dir, clock)
        self._configured_policies = policies
        self._state_dir = state_dir
        self._cached_box_id = box_id

    @classmethod
    def from_config(cls, path: Path, clock: Clock) -> "FootageArchive":
        """Open the archive of the box of a configuration file."""
        config = configuration.load(path)
        state_dir = Path(config.box.state)
        policies = {one.name: one.institution for one in config.camera if one.institution}
        return cls(state_dir, state_dir / FOOTAGE_DIR, config.box.id, clock, policies)

    @classmethod
    def from_state_dir(cls, state_dir: Path, clock: Clock) -> "FootageArchive":
        """Open the archive of a state folder with the default footage folder."""
        check_state_dir(state_dir)
        return cls(state_dir, state_dir / FOOTAGE_DIR, None, clock, {})

    def export(
        self,
        request: ExportRequest,
        private_key: X25519PrivateKey | None,
        progress: ProgressCallback,
        *,
        viewer: str | None = None,
        has_sealed_clip: bool = True,
    ) -> ExportResult:
        """Export a span. A recipient's `private_key` decrypts sealed footage.

        Without it the running agent cuts the clip, unless `has_sealed_clip` is False: then no plain picture
        of sealed footage is written. `viewer` is the name that a camera's owner may have listed, by default
        `request.by`. Raises: ExportError if there is nothing to export; UserError if they may not see the
        camera.
        """
        custody, public_key, snapshot = self._open_span(
            request.camera, request.begin, request.end, viewer or request.by
        )
        exporter = Exporter(
            box=custody.box,
            public_key=public_key,
            custody=custody,
            clock=self._clock,
            find_key=_unwrap_keys(snapshot.footage.entries, private_key),
            masks_dir=self._state_dir / MASKS_DIR,
            request_clip=self._request_clip if has_sealed_clip else lambda _request, _out: None,
        )
        return exporter.export(request, snapshot, progress)

    def list_span(
        self, camera: str, begin: datetime, end: datetime, by: str, public_key: bytes
    ) -> SpanFootage:
        """List the footage of a span for `by`, without the box's private key. Changes no file.

        Raises: UserError if they may not see the camera.
        """
        name = self._check_viewer(camera, begin, end, by)
        is_own_line = partial(_is_signed_line, Ed25519PublicKey.from_public_bytes(public_key))
        return list_span(self._custody_dir, is_own_line, self._footage_dir, name, begin, end)

    def write_clip(
        self,
        entries: Sequence[FootageEntry],
        begin: datetime,
        end: datetime,
        out: Path,
        progress: Callable[[], None],
    ) -> clip.ClipInfo:
        """Cut a span from plain segments of one camera into an MP4, with their masks painted.

        `progress` is called before each group of pictures that is copied or painted. Raises: ClipError,
        MaskingError, OSError.
        """
        closed = [entry.closed for entry in entries if entry.closed is not None]
        masks = mask_store.masks_to_apply(self._state_dir / MASKS_DIR, closed)

        def may_continue() -> bool:
            progress()
            return True

        with (
            clip.painted(masks, out, lambda _ratio: progress()) as unmasked,
            unmasked.open("xb") as file,
        ):
            return clip.write_clip_to_fd(
                [clip.clip_source(entry.path, entry.name) for entry in entries],
                unix_ns(begin),
                unix_ns(end),
                file.fileno(),
                lambda _kid: None,
                may_continue,
            )

    def place_hold(
        self,
        camera: str,
        begin: datetime,
        end: datetime,
        *,
        owner: str,
        reason: str,
        days: float,
        case: str | None = None,
    ) -> Hold:
        """Hold a span. The agent appends it to the custody log, now or at its next start."""
        (name,) = self.resolve_cameras(camera)
        self._load_identity()
        return self._hold_store().place(
            name, begin, end, owner=owner, reason=reason, days=days, case=case
        )

    def release_hold(self, hold_id: str, *, by: str, reason: str) -> Hold:
        """Request the end of a hold."""
        self._load_identity()
        return self._hold_store().request_release(hold_id, by=by, reason=reason)

    def list_holds(self) -> tuple[Hold, ...]:
        """Return all active holds."""
        return self._hold_store().active()

    def attest(self) -> tuple[FootageAttested, ...]:
        """Append an inventory of each camera's footage to the custody log."""
        custody, _ = self._open_custody_log()
        attested: list[FootageAttested] = []
        for camera in self.resolve_cameras(None):
            entries = self.find_segments(camera, None, None)
            sized = [(entry, entry.size_on_disk_bytes()) for entry in entries]
            present = [(entry, size) for entry, size in sized if size is not None]
            body = FootageAttested(
                camera=camera,
                oldest_time=rfc3339(present[0][0].begin) if present else None,
                segment_count=len(present),
                size_bytes=sum(size for _, size in present),
            )
            custody.append(body, self._clock.boottime_ns())
            attested.append(body)
        return tuple(attested)

    def _open_span(
        self, camera: str, begin: datetime, end: datetime, by: str
    ) -> tuple[CustodyLog, str, SpanSnapshot]:
        """Return the custody log, its public key, and the footage of a span that `by` may see."""
        name = self._check_viewer(camera, begin, end, by)
        custody, public_key = self._open_custody_log()
        return custody, public_key, snapshot_span(custody, self._footage_dir, name, begin, end)

    def _check_viewer(self, camera: str, begin: datetime, end: datetime, by: str) -> str:
        """Return the camera. Raises: UserError if the span is none, or `by` may not see the camera."""
        for policy in (
            owner_policy.read(self._state_dir, camera),
            self._configured_policies.get(camera),
        ):
            owner_policy.check_viewer(policy, camera, by)
        (name,) = self.check_span(camera, begin, end)
        return name

    def _request_clip(self, request: ClipRequest, out: Path) -> clip.ClipInfo | None:
        """Have the running agent cut a clip of sealed footage."""
        return clip_server.request_clip(self._state_dir, request, out)

    def _hold_store(self) -> HoldStore:
        new_id = uuid7_factory(lambda t_ns: unix_ns(self._clock.utc(t_ns)), random.Random())  # noqa: S311 - names, no secrets
        return HoldStore(self._state_dir / "holds", self._clock, boot_id(), new_id)

    def _open_custody_log(self) -> tuple[CustodyLog, str]:
        """Open the custody log, and return it with its public key in base64."""
        identity = self._load_identity()
        custody = CustodyLog.open(
            self._custody_dir, self._box_id(identity), boot_id(), self._clock, identity
        )
        return custody, base64.b64encode(identity.public_key_raw).decode()

    def _load_identity(self) -> DeviceIdentity:
        """Load the key, for the agent's user only: the agent could not open files of another user."""
        identity = DeviceIdentity.load_existing(self._state_dir, "footage")
        if identity is None:
            raise UserError(
                Message(
                    "state folder {folder!r}: no agent has run here", folder=str(self._state_dir)
                )
            )
        return identity

    def _box_id(self, identity: DeviceIdentity) -> str:
        if self._cached_box_id is None:
            self._cached_box_id = _read_box_id(self._custody_dir, identity)
        if self._cached_box_id is None:
            raise UserError(
                Message(
                    "{label}: its custody log is empty",
                    label=f"state folder {str(self._state_dir)!r}",
                )
            )
        return self._cached_box_id


def _unwrap_keys(
    entries: Sequence[FootageEntry], private_key: X25519PrivateKey | None
) -> KeyLookup:
    keys: dict[bytes, SegmentKey] = {}
    if private_key is not None:
        for entry in entries:
            sidecar = entry.path.with_name(entry.segment_name + KEYS_SUFFIX)
            if sidecar.exists():
                segment_key = key_wrapping.unwrap_segment_key(sidecar, private_key)
                keys[segment_key.kid] = segment_key
    return keys.get


def _read_box_id(custody_dir: Path, identity: DeviceIdentity) -> str | None:
    """Return the box id of the newest receipt that the box signed, or None.

    A damaged one may name another box, and the next receipt would belong to that.
    """
    public_key = Ed25519PublicKey.from_public_bytes(identity.public_key_raw)
    for line in read_lines_backwards(custody_dir):
        if _is_signed_line(public_key, line):
            return parse_line(line).receipt.box
    return None


def _is_signed_line(public_key: Ed25519PublicKey, line: bytes) -> bool:
    """Return whether a line is a receipt that this key signed."""
    try:
        return is_signed_by(parse_line(line), public_key)
    except BadReceipt:
        return False
