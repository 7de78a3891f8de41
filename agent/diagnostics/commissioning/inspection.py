"""The wiring of `vigie commission`: what a box is like now, asked of the agent that runs there."""

import base64
import hashlib
import os
import shutil
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import msgspec
import numpy as np

from agent import __version__
from agent.base.clock import Clock, boot_id
from agent.base.device_identity import KEY_FILE, DeviceIdentity
from agent.base.errors import UserError
from agent.base.health_model import HealthReport
from agent.base.model import CommandDone
from agent.capture import preview_server
from agent.capture.lens_aim import LensAim
from agent.capture.preview_server import NoPicture
from agent.commands import socket_server
from agent.config import configuration
from agent.config.configuration import CameraConfig
from agent.detection import model_card
from agent.detection import scene as scenes
from agent.diagnostics.commissioning import certificate
from agent.diagnostics.commissioning.certificate import (
    BadRecord,
    CameraRecord,
    HeadRecord,
    InstallationRecord,
    ItemAnswer,
)
from agent.diagnostics.commissioning.drift import ConfigurationDrift, drifts
from agent.health import health_file
from agent.health.health_file import LiveHealth, runtime_folder
from agent.ptz.messages import PtzResult
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import Serviced, Viewed
from agent.recording.segment_name import rfc3339
from drivers.media import Plane

COLUMNS, ROWS = 480, 270
LOOKS = 5
"""Pictures of a camera: what moves is in few of them, and goes with their median."""
INSTALLED_STATE, INSTALLED_RUNTIME = Path("/var/lib/vigie"), Path("/run/vigie")
_ASK_S = 10.0

Ask = Callable[[ItemAnswer, Plane | None], ItemAnswer]
"""Shows somebody what was found, and gives it back with what he says."""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was written, and where."""

    record: InstallationRecord
    folder: Path
    copy: Path | None


class CommissioningSession:
    """A box whose agent runs. Raises BadInput where it does not, or the state is somebody else's."""

    def __init__(self, config: Path, clock: Clock, by: str) -> None:
        self._config = configuration.load(config)
        self._clock = clock
        self._by = by
        self._state = Path(self._config.box.state)
        _check_owner(self._state)
        with self._disk():
            self._identity = DeviceIdentity.load_or_make(self._state / "identity")
            self._custody = CustodyLog.open(
                self._state / "custody", self._config.box.id, boot_id(), clock, self._identity
            )

    @property
    def public_key(self) -> str:
        """The box's, in base64."""
        return base64.b64encode(self._identity.public_key_raw).decode()

    def commission(self, ask: Ask, out: Path | None) -> Written:
        """Go through all parts, and write the record. `out` gets a copy of it."""
        if out is not None and out.exists():
            raise UserError(f"--out {str(out)!r}: is there already; allowed: a new folder")
        record, planes = self._found(f"commissioned by {self._by}")
        answers = [ask(answer, planes.get(answer.of or "")) for answer in _answers(record)]
        pictures = {name: _png(plane) for name, plane in planes.items()}
        record = msgspec.structs.replace(record, answers=tuple(answers))
        name = f"{self._clock.utc(self._clock.boottime_ns()):%Y%m%dT%H%M%S.%fZ}"
        with self._disk():
            folder = certificate.write(self._state, name, record, pictures, self._identity.sign)
        if out is not None:
            _copy(folder, out)
        return Written(record=record, folder=folder, copy=out)

    def compare(self) -> tuple[InstallationRecord, tuple[ConfigurationDrift, ...]]:
        """What has changed since the newest record. Raises BadInput where there is none to trust."""
        try:
            folder = certificate.newest(self._state)
            then, pictures = certificate.read(folder, self.public_key)
            before = {name: _plane(name, picture) for name, picture in pictures.items()}
        except BadRecord as error:
            raise UserError(str(error)) from error
        now, after = self._found(f"compared with what was commissioned on {then.made}")
        return then, tuple(drifts(then, now, before, after))

    def _found(self, what: str) -> tuple[InstallationRecord, dict[str, Plane]]:
        report = self._live().report
        self._note(Serviced(by=self._by, what=what))
        planes: dict[str, Plane] = {}
        cameras = []
        for camera in self._config.camera:
            found, plane = self._camera(camera, report)
            cameras.append(found)
            if plane is not None:
                planes[camera.name] = plane
        trust = self._clock.trust()
        record = InstallationRecord(
            box=self._config.box.id,
            site=self._config.box.site,
            made=self._now(),
            clock_synced=trust.synced,
            clock_source=trust.source,
            by=self._by,
            public_key=self.public_key,
            version=__version__,
            config=hashlib.sha256(msgspec.json.encode(self._config)).hexdigest(),
            cameras=tuple(cameras),
            heads=tuple(self._head(head.name) for head in self._config.head),
            connected=report.outbox.connected,
            centre_listens=report.outbox.centre_listens,
            round_trip_ms=None if report.link is None else report.link.round_trip_ms,
            faults=tuple(f"{fault.code} {fault.subject}" for fault in report.faults),
        )
        return record, planes

    def _camera(
        self, camera: CameraConfig, report: HealthReport
    ) -> tuple[CameraRecord, Plane | None]:
        plane, aims, why = self._looks(camera)
        found = None if plane is None else hashlib.sha256(_png(plane)).hexdigest()
        files = {"": camera.detect.scene} if camera.detect.scene else dict(camera.detect.scenes)
        health = {head.name: head for head in report.heads}
        rests = [
            health[head.name].preset
            for head in self._config.head
            if head.camera == camera.name and head.name in health
        ]
        return (
            CameraRecord(
                name=camera.name,
                picture=found,
                why=why,
                width_px=0 if plane is None else plane.shape[1],
                height_px=0 if plane is None else plane.shape[0],
                focus=_median([aim.focus for aim in aims]),
                lean_deg=_median([aim.lean_deg for aim in aims]),
                exposure=aims[-1].exposure if aims else "nobody knows",
                masks=sum(len(scenes.load(Path(path)).masks) for path in files.values() if path),
                scenes={
                    preset: hashlib.sha256(Path(path).read_bytes()).hexdigest()
                    for preset, path in files.items()
                    if path
                },
                model=model_card.load_card(camera.detect.model).sha256
                if camera.detect.enabled
                else None,
                preset=rests[0] if rests else None,
            ),
            plane,
        )

    def _looks(self, camera: CameraConfig) -> tuple[Plane | None, list[LensAim], str | None]:
        """What a camera sees without those who pass by, and how its lens is. Who looks is in the
        chain before anything is shown.
        """
        lent = camera.institution
        if lent is not None and not lent.may_see(self._by):
            return None, [], f"it is lent by {lent.owner}, who does not name {self._by}"
        at = self._now()
        viewed = Viewed(
            camera=camera.name, begin_time=at, end_time=at, by=self._by, purpose="commissioning"
        )
        self._note(viewed)
        planes: list[Plane] = []
        aims: list[LensAim] = []
        try:
            for _ in range(LOOKS):
                seen = preview_server.ask(self._state, camera.name, self._by, COLUMNS, ROWS)
                if seen is None:
                    return None, [], "the agent has gone"
                planes.append(seen.plane)
                aims.append(seen.aim)
        except NoPicture as error:
            return None, [], str(error)
        if len({plane.shape for plane in planes}) != 1:
            return None, [], "its picture has changed its size meanwhile"
        return np.asarray(np.median(np.stack(planes), axis=0), np.uint8), aims, None

    def _head(self, name: str) -> HeadRecord:
        try:
            for reply in (
                socket_server.ask(self._state, "ptz", {"do": "presets", "head": name}, _ASK_S) or ()
            ):
                if isinstance(reply, CommandDone):
                    presets = msgspec.json.decode(reply.result, type=PtzResult).presets or ()
                    places = {
                        one.name: (one.pose.pan_deg, one.pose.tilt_deg, one.pose.zoom)
                        for one in presets
                    }
                    return HeadRecord(name=name, presets=places)
        except (UserError, msgspec.MsgspecError):
            return HeadRecord(name=name, presets=None)
        return HeadRecord(name=name, presets=None)

    def _note(self, body: Serviced | Viewed) -> None:
        """Into the chain of custody: what cannot be written there is not done."""
        with self._disk():
            self._custody.append(body, self._clock.boottime_ns())

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"state folder {str(self._state)!r}: {error}") from error

    def _live(self) -> LiveHealth:
        folder = runtime_folder(self._state)
        if not folder.is_dir() and self._state == INSTALLED_STATE:
            folder = INSTALLED_RUNTIME
        live = health_file.read(folder)
        if live is None or live.is_stale(self._clock.boottime_ns()):
            raise UserError(
                "the agent does not run, and only what runs can be commissioned; "
                "allowed: once `systemctl status vigie-agent` says active"
            )
        return live

    def _now(self) -> str:
        return rfc3339(self._clock.utc(self._clock.boottime_ns()))


def _answers(record: InstallationRecord) -> Iterator[ItemAnswer]:
    """What was found, part by part, for somebody to say that it is good."""
    for camera in record.cameras:
        of = camera.name
        if camera.picture is None:
            yield ItemAnswer(part="aim", of=of, found=f"no picture: {camera.why}", good=False)
            continue
        lean = "" if camera.lean_deg is None else f", leans {camera.lean_deg:+.1f} degrees"
        yield ItemAnswer(part="aim", of=of, found=f"exposure {camera.exposure}{lean}", good=None)
        focus = "nothing to focus on" if camera.focus is None else f"{camera.focus:.0f} of about 70"
        yield ItemAnswer(part="focus", of=of, found=focus, good=None)
        hidden = f"{camera.masks} masks" if camera.masks else "nothing is masked"
        yield ItemAnswer(part="masks", of=of, found=hidden, good=None)
    for head in record.heads:
        presets = head.presets
        found = "it does not answer" if presets is None else ", ".join(presets) or "no presets"
        yield ItemAnswer(
            part="head", of=head.name, found=found, good=False if presets is None else None
        )
    centre = "a centre listens" if record.centre_listens else "no centre listens"
    link = f"connected, {centre}" if record.connected else "not connected"
    yield ItemAnswer(part="link", of=None, found=link, good=record.connected)
    clock = f"set by {record.clock_source}" if record.clock_synced else "nobody sets it"
    yield ItemAnswer(part="clock", of=None, found=clock, good=record.clock_synced)


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 1) if 2 * len(known) > len(values) else None


def _png(plane: Plane) -> bytes:
    return bytes(cv2.imencode(".png", plane)[1].tobytes())


def _plane(name: str, picture: bytes) -> Plane:
    decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    if decoded is None:
        raise BadRecord(f"{name}.png: no picture")
    return np.asarray(decoded, np.uint8)


def _check_owner(state: Path) -> None:
    where = f"state folder {str(state)!r}"
    try:
        owner = (state / "identity" / KEY_FILE).stat().st_uid
    except FileNotFoundError as error:
        raise UserError(f"{where}: no agent has run here") from error
    except PermissionError as error:
        raise UserError(f"{where}: not yours to read") from error
    if owner != os.geteuid():
        raise UserError(
            f"{where}: belongs to the agent's user; allowed: sudo -u '#{owner}' vigie commission ..."
        )


def _copy(folder: Path, out: Path) -> None:
    try:
        shutil.copytree(folder, out)
    except (OSError, shutil.Error) as error:
        raise UserError(f"--out {str(out)!r}: {error}; the record itself is in {folder}") from error
