"""`vigie commission`: inspect a box through its running agent, and record or compare its state."""

import base64
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import cv2
import msgspec
import numpy as np

from agent import __version__
from agent.base.clock import Clock, boot_id, rfc3339
from agent.base.device_identity import DeviceIdentity
from agent.base.errors import UserError
from agent.base.health_model import HealthReport
from agent.base.message import Message, Text, message_of
from agent.base.sha256 import sha256_hex
from agent.base.signed_manifest import BadManifest
from agent.capture import focus_search
from agent.capture.lens_aim import FocusBlocks, LensAim
from agent.capture.preview import PreviewUnavailable, request_preview
from agent.commands.local_command import run_command
from agent.commands.requester import CommandRejected
from agent.config import configuration
from agent.config.configuration import CameraConfig
from agent.detection import model_card
from agent.detection import scene as scenes
from agent.detection.ground_marks import GroundMarks
from agent.diagnostics.commissioning import certificate
from agent.diagnostics.commissioning.certificate import (
    CameraRecord,
    HeadRecord,
    InstallationRecord,
    ItemAnswer,
    SerialNumber,
)
from agent.diagnostics.commissioning.drift import DRIFT_TITLES, ConfigurationDrift, find_drifts
from agent.diagnostics.commissioning.items import Inspection
from agent.diagnostics.commissioning.photos import Photo
from agent.faults import diagnosis
from agent.health import health_file
from agent.health.health_file import LiveHealth, get_runtime_dir
from agent.ptz.ptz_args import PtzListPresetsArgs, PtzResult
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import FootageViewed, ServiceAction
from drivers.media import Plane, Point

PREVIEW_WIDTH_PX, PREVIEW_HEIGHT_PX = 480, 270
FRAMES_PER_CAMERA = 5
"""Pictures of a camera: their median removes moving objects."""
_REPLY_TIMEOUT_S = 10.0

AskTechnician = Callable[[ItemAnswer, Text, Plane | None], ItemAnswer]
"""Shows the technician an item, its finding and its picture, and returns it with their verdict."""

_CROSS_PX = 13
_STROKES = ((0, 3), (255, 1))
"""Luma and width of the strokes: a white line in a black one is seen on any ground."""


def draw_marks(picture: Plane, marks: GroundMarks) -> Plane:
    """Return a copy of a picture with a cross at each marked point and a line at each known length."""
    drawn = np.array(picture, np.uint8)
    height, width = picture.shape

    def pixel(point: Point) -> tuple[int, int]:
        return round(point.x * width), round(point.y * height)

    for luma, stroke_px in _STROKES:
        for marked in marks.point:
            cv2.drawMarker(drawn, pixel(marked.at), luma, cv2.MARKER_CROSS, _CROSS_PX, stroke_px)
        for known in marks.length:
            cv2.line(drawn, pixel(known.start), pixel(known.to), luma, stroke_px)
    return drawn


class CommissioningResult(msgspec.Struct, frozen=True, kw_only=True):
    """A written record and its folder."""

    record: InstallationRecord
    folder: Path
    copied_to: Path | None


def format_result(result: CommissioningResult) -> list[Message]:
    """Format a written record for a terminal."""
    record = result.record
    return [
        Message(
            "Written: {folder}: signed by {key}", folder=str(result.folder), key=record.public_key
        ),
        *(
            []
            if result.copied_to is None
            else [Message("  a copy: {folder}", folder=str(result.copied_to))]
        ),
        *(
            Message("  NOT GOOD: {item}: {reason}", item=one.title, reason=one.note or one.finding)
            for one in record.rejected_items
        ),
    ]


def format_comparison(
    record: InstallationRecord, drifts: Sequence[ConfigurationDrift]
) -> list[Message]:
    """Format the differences from a record for a terminal."""
    return [
        Message("commissioned {time} by {name}", time=record.created_time, name=record.technician),
        *(
            Message(
                "  {kind} {subject}: {message}",
                kind=DRIFT_TITLES[drift.kind],
                subject=drift.subject,
                message=drift.message,
            )
            if drift.subject
            else Message(
                "  {kind}: {message}", kind=DRIFT_TITLES[drift.kind], message=drift.message
            )
            for drift in drifts
        ),
        *([] if drifts else [Message("  no drift")]),
    ]


class CommissioningSession:
    """A box whose agent runs. Raises UserError if it does not, or another user owns the state."""

    def __init__(self, config: Path, clock: Clock, by: str) -> None:
        self._config = configuration.load(config)
        self._clock = clock
        self._by = by
        self._state_dir = Path(self._config.box.state)
        with self._reporting_disk_errors():
            identity = DeviceIdentity.load_existing(self._state_dir, "commission")
            if identity is None:
                raise UserError(
                    Message(
                        "{label}: no agent has run here",
                        label=f"state folder {str(self._state_dir)!r}",
                    )
                )
            self._identity = identity
            self._custody = CustodyLog.open(
                self._state_dir / "custody", self._config.box.id, boot_id(), clock, self._identity
            )

    @property
    def public_key(self) -> str:
        """The box's public key, in base64."""
        return base64.b64encode(self._identity.public_key_raw).decode()

    def commission(
        self,
        ask_technician: AskTechnician,
        copy_folder: Path | None,
        best_focus: Mapping[str, FocusBlocks] = MappingProxyType({}),
    ) -> CommissioningResult:
        """Inspect all items and write the record, with a copy in `copy_folder` if given.

        `best_focus` has the best focus of each camera whose lens was turned past it.
        """
        if copy_folder is not None and copy_folder.exists():
            raise UserError(
                Message(
                    "{label}: already exists; allowed: a new folder",
                    label=f"--out {str(copy_folder)!r}",
                )
            )
        inspection = self.inspect()
        answers = [
            ask_technician(item, finding, self.item_picture(inspection, item))
            for item, finding in inspection.items(best_focus)
        ]
        result = self.sign(inspection, answers)
        if copy_folder is not None:
            _copy_record(result.folder, copy_folder)
        return msgspec.structs.replace(result, copied_to=copy_folder)

    def inspect(self) -> Inspection:
        """Measure all items; the receipt is written before."""
        return self._inspect(f"commissioned by {self._by}")

    def sign(
        self,
        inspection: Inspection,
        answers: Sequence[ItemAnswer],
        photos: Sequence[Photo] = (),
        notes: str | None = None,
        serials: Sequence[SerialNumber] = (),
    ) -> CommissioningResult:
        """Write the record of an inspection with the technician's answers, photos, notes and serial numbers."""
        pictures = {name: _encode_png(plane) for name, plane in inspection.planes.items()}
        record = msgspec.structs.replace(
            inspection.record,
            answers=tuple(answers),
            photos=tuple(photo.record for photo in photos),
            notes=notes,
            serials=tuple(serials),
        )
        name = f"{self._clock.utc(self._clock.boottime_ns()):%Y%m%dT%H%M%S.%fZ}"
        with self._reporting_disk_errors():
            folder = certificate.write_record(
                self._state_dir,
                name,
                record,
                pictures,
                self._identity.sign,
                [photo.jpeg for photo in photos],
            )
        return CommissioningResult(record=record, folder=folder, copied_to=None)

    def item_picture(self, inspection: Inspection, item: ItemAnswer) -> Plane | None:
        """Return the picture of an item: of a ground with its marks."""
        plane = inspection.planes.get(item.subject or "")
        if plane is None or item.item != "ground":
            return plane
        (detect,) = (camera.detect for camera in self._config.camera if camera.name == item.subject)
        cameras = inspection.record.cameras
        (preset,) = (camera.preset for camera in cameras if camera.name == item.subject)
        path = detect.scene or detect.scenes.get(preset or "")
        marks = None if path is None else scenes.load_scene(Path(path)).ground
        return plane if marks is None else draw_marks(plane, marks)

    def read_newest(self) -> tuple[Path, InstallationRecord, dict[str, bytes]]:
        """Return the folder of the newest record, the record and its pictures, verified. Raises UserError."""
        try:
            folder = certificate.find_newest(self._state_dir)
            return folder, *certificate.read_verified(folder, self.public_key)
        except BadManifest as error:
            raise UserError(message_of(error)) from error

    def compare(self) -> tuple[InstallationRecord, tuple[ConfigurationDrift, ...]]:
        """Compare the box with its newest record. Raises UserError if no record verifies."""
        _, recorded, pictures = self.read_newest()
        try:
            recorded_planes = {
                name: _decode_png(name, picture) for name, picture in pictures.items()
            }
        except BadManifest as error:
            raise UserError(message_of(error)) from error
        current = self._inspect(f"compared with what was commissioned on {recorded.created_time}")
        return recorded, tuple(
            find_drifts(recorded, current.record, recorded_planes, current.planes)
        )

    def _inspect(self, purpose: str) -> Inspection:
        report = self._read_live_health().report
        self._append_receipt(ServiceAction(by=self._by, action=purpose))
        planes: dict[str, Plane] = {}
        focus_blocks: dict[str, FocusBlocks] = {}
        cameras = []
        for camera in self._config.camera:
            camera_record, plane, aims = self._inspect_camera(camera, report)
            cameras.append(camera_record)
            if aims:
                focus_blocks[camera.name] = focus_search.median_blocks(
                    [aim.focus_blocks for aim in aims]
                )
            if plane is not None:
                planes[camera.name] = plane
        trust = self._clock.trust()
        record = InstallationRecord(
            box=self._config.box.id,
            site=self._config.box.site,
            created_time=self._utc_now(),
            clock_synced=trust.synced,
            clock_source=trust.source,
            technician=self._by,
            public_key=self.public_key,
            version=__version__,
            config=sha256_hex(msgspec.json.encode(self._config)),
            cameras=tuple(cameras),
            heads=tuple(self._inspect_head(head.name) for head in self._config.head),
            connected=report.outbox.connected,
            centre_listening=report.outbox.centre_listening,
            round_trip_ms=None if report.link is None else report.link.round_trip_ms,
            faults=tuple(f"{fault.code} {fault.subject}" for fault in report.faults),
        )
        return Inspection(record, planes, focus_blocks)

    def _inspect_camera(
        self, camera: CameraConfig, report: HealthReport
    ) -> tuple[CameraRecord, Plane | None, list[LensAim]]:
        plane, aims, reason = self._capture_camera(camera, report)
        picture_sha256 = None if plane is None else sha256_hex(_encode_png(plane))
        scene_files = (
            {"": camera.detect.scene} if camera.detect.scene else dict(camera.detect.scenes)
        )
        health = {head.name: head for head in report.heads}
        head_presets = [
            health[head.name].preset
            for head in self._config.head
            if head.camera == camera.name and head.name in health
        ]
        return (
            CameraRecord(
                name=camera.name,
                picture=picture_sha256,
                reason=reason,
                width_px=0 if plane is None else plane.shape[1],
                height_px=0 if plane is None else plane.shape[0],
                focus=_median([aim.focus for aim in aims]),
                lean_deg=_median([aim.lean_deg for aim in aims]),
                view=aims[-1].view.state if aims else None,
                sharpness=_median([aim.view.sharpness for aim in aims], digits=3),
                exposure=str(aims[-1].exposure) if aims else "unknown",
                masks=sum(
                    len(scenes.load_scene(Path(path)).masks)
                    for path in scene_files.values()
                    if path
                ),
                scenes={
                    preset: sha256_hex(Path(path).read_bytes())
                    for preset, path in scene_files.items()
                    if path
                },
                model=model_card.find_sha256(camera.detect.model)
                if camera.detect.enabled
                else None,
                preset=head_presets[0] if head_presets else None,
                ground=next(
                    (one.ground for one in report.cameras if one.name == camera.name), None
                ),
            ),
            plane,
            aims,
        )

    def _capture_camera(
        self, camera: CameraConfig, report: HealthReport
    ) -> tuple[Plane | None, list[LensAim], str | None]:
        """Return a camera's view without passers-by, and the readings of its lens.

        The receipt of the viewing is in the chain of custody before a picture is fetched.
        """
        institution = camera.institution
        if institution is not None and not institution.can_view(self._by):
            return None, [], f"it is lent by {institution.owner}, who does not name {self._by}"
        now = self._utc_now()
        viewed = FootageViewed(
            camera=camera.name, begin_time=now, end_time=now, by=self._by, purpose="commissioning"
        )
        self._append_receipt(viewed)
        planes: list[Plane] = []
        aims: list[LensAim] = []
        try:
            for _ in range(FRAMES_PER_CAMERA):
                preview = request_preview(
                    self._state_dir, camera.name, self._by, PREVIEW_WIDTH_PX, PREVIEW_HEIGHT_PX
                )
                if preview is None:
                    return None, [], "the agent has stopped"
                planes.append(preview.plane)
                aims.append(preview.aim)
        except PreviewUnavailable as error:
            found = diagnosis.find_camera(report, camera.name)
            reason = str(error) if found.is_good is not False else f"{found.code}: {found.words}"
            return None, [], reason
        if len({plane.shape for plane in planes}) != 1:
            return None, [], "the picture's size changed during the capture"
        return np.asarray(np.median(np.stack(planes), axis=0), np.uint8), aims, None

    def _inspect_head(self, name: str) -> HeadRecord:
        try:
            result = run_command(
                self._state_dir, "ptz", PtzListPresetsArgs(head=name), PtzResult, _REPLY_TIMEOUT_S
            )
        except (UserError, CommandRejected):
            result = None
        if result is None:
            return HeadRecord(name=name, presets=None)
        poses = {
            preset.name: (preset.pose.pan_deg, preset.pose.tilt_deg, preset.pose.zoom)
            for preset in result.presets or ()
        }
        return HeadRecord(name=name, presets=poses)

    def _append_receipt(self, body: ServiceAction | FootageViewed) -> None:
        """Append to the chain of custody. Raises before the action if the receipt cannot be written."""
        with self._reporting_disk_errors():
            self._custody.append(body, self._clock.boottime_ns())

    @contextmanager
    def _reporting_disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                Message(
                    "{label}: {problem}",
                    label=f"state folder {str(self._state_dir)!r}",
                    problem=message_of(error),
                )
            ) from error

    def _read_live_health(self) -> LiveHealth:
        live_health = health_file.read(get_runtime_dir(self._state_dir))
        if live_health is None or live_health.is_stale(self._clock.boottime_ns()):
            raise UserError(
                Message(
                    "the agent is not running; allowed: once `systemctl status vigie-agent` says active"
                )
            )
        return live_health

    def _utc_now(self) -> str:
        return rfc3339(self._clock.utc(self._clock.boottime_ns()))


def _median(values: list[float | None], digits: int = 1) -> float | None:
    known_values = [value for value in values if value is not None]
    if 2 * len(known_values) <= len(values):
        return None
    return round(statistics.median(known_values), digits)


def _encode_png(plane: Plane) -> bytes:
    return bytes(cv2.imencode(".png", plane)[1].tobytes())


def _decode_png(name: str, picture: bytes) -> Plane:
    decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    if decoded is None:
        raise BadManifest(f"{name}.png", "is not a picture")
    return np.asarray(decoded, np.uint8)


def _copy_record(folder: Path, copy_folder: Path) -> None:
    try:
        shutil.copytree(folder, copy_folder)
    except (OSError, shutil.Error) as error:
        raise UserError(
            Message(
                "{label}: {error}; the record itself is in {folder}",
                label=f"--out {str(copy_folder)!r}",
                error=message_of(error),
                folder=folder,
            )
        ) from error
