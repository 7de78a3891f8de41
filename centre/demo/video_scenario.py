"""Scenario of the plain demo: a video of a street, as the camera of a box, its screen, and one signed request."""

import math
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.app.agent import Agent
from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.json_decode import decode_json
from agent.base.model import CommandDone, CommandRefused, FrameResult, Reply
from agent.capture import camera_source
from agent.capture.snapshot_command import COMMAND, SnapshotResult
from agent.config.broker import BrokerConfig
from agent.config.configuration import BoxConfig, CameraConfig, Config, DetectConfig, HealthConfig
from agent.config.control import ControlConfig
from agent.config.recording import RecordConfig
from agent.config_change.actuator_specs import ActuatorSpecs
from agent.detection import scene as scenes
from agent.detection.image import encode_snapshot
from agent.reporting.payloads import EventData, SnapshotHeader
from agent.runtime.stage import StageThread
from centre.annotated_video import AnnotatedVideoWriter
from centre.demo.demo import CONNECT_TIMEOUT_S
from centre.demo.demo_authority import DemoAuthority
from centre.demo.demo_operator import DemoOperator
from centre.demo.export_check import ExportCheck, check_export
from centre.demo.files import DemoFiles
from centre.demo.ptz_script import AMINA
from centre.demo.screen import (
    ScreenContent,
    format_clock,
    format_count,
    format_counts,
    render_counts,
    render_in_sight,
    status_table,
)
from centre.demo.stats import StatsView
from centre.demo.summary import VideoDemoResult
from centre.demo.video_source import DemoVideo, choose_video
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame, Packet, StreamInfo

CAMERA_NAME = "street"
BOX_ID = "demo-box"
_MAX_FOOTAGE_BYTES = 2_000_000_000
_MAX_PICTURE_BYTES = 1_000_000
_BAR_CELLS = 12
_STOP_TIMEOUT_S = 10.0
PROCESS_TIMEOUT_S = 20.0
"""The camera continues if a frame has not been processed after this time."""


class FramePacer:
    """Holds back a frame until the one before it has been processed."""

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()

    def mark_busy(self) -> None:
        """Note that a frame has been handed over."""
        self._free.clear()

    def mark_free(self) -> None:
        """Note that the frame has been processed."""
        self._free.set()

    def wait_until_free(self, timeout_s: float) -> bool:
        """Wait for the frame to be processed. Return False on a timeout."""
        return self._free.wait(timeout_s)


class DemoVideoCamera:
    """A camera that ends after `duration_s`, and is slowed down by `pacer`, if there is one.

    Invariant: with a pacer no frame is handed over before the one before it was processed, so
    that the detect stage, which takes the newest frame, skips none.

    `base_ns` is added to the video's own times, which start at zero: the machine's boot.
    """

    def __init__(
        self, camera: Camera, duration_s: float | None, pacer: FramePacer | None, base_ns: int
    ) -> None:
        self._camera = camera
        self._duration_ns = None if duration_s is None else round(duration_s * 1e9)
        self._pacer = pacer
        self._base_ns = base_ns
        self._first_ns: int | None = None
        self._waited_s = 0.0

    @property
    def info(self) -> StreamInfo:
        """The video's parameters."""
        return self._camera.info

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """Return the next packet or frame. Raises: DriverError `ended` after `duration_s`, too."""
        if self._pacer is not None and not self._pacer.wait_until_free(timeout_s):
            self._waited_s += timeout_s
            if self._waited_s < PROCESS_TIMEOUT_S:
                return None
        self._waited_s = 0.0
        media = self._camera.read(timeout_s)
        if media is None:
            return None
        if self._first_ns is None:
            self._first_ns = media.t_ns
        if self._duration_ns is not None and media.t_ns - self._first_ns >= self._duration_ns:
            raise DriverError("ended", "the requested part of the video has been played")
        if self._pacer is not None and isinstance(media, Frame):
            self._pacer.mark_busy()
        return msgspec.structs.replace(media, t_ns=self._base_ns + media.t_ns)

    def close(self) -> None:
        """Close the video."""
        self._camera.close()


class OpenOnce:
    """Opens the camera once. A box reopens a lost camera, but a video that has ended stays ended."""

    def __init__(self, open_camera: Callable[[StreamRequest], Camera]) -> None:
        self._open_camera = open_camera
        self._opened = False
        self.has_ended = False
        """Whether a second camera was requested: an overloaded box reopens its streams."""

    def __call__(self, wanted: StreamRequest) -> Camera:
        """Return the camera. Raises: DriverError `ended` on every later call."""
        if self._opened:
            self.has_ended = True
            raise DriverError("ended", "the video was played to its end")
        camera = self._open_camera(wanted)
        self._opened = True
        return camera


class VideoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which video to play, and how much of it; None plays the default one, or all of it."""

    video: Path | None = None
    fast: bool = False
    duration_s: float | None = None


class VideoScenario:
    """Plays one video through the agent, and draws what was detected on a copy of it."""

    specs = ActuatorSpecs()

    def __init__(
        self,
        options: VideoOptions,
        files: DemoFiles,
        broker_url: str,
        authority: DemoAuthority,
        clock: Clock,
        console: Console,
    ) -> None:
        """Choose the video. Raises: UserError or DriverError if it cannot be read."""
        self._options = options
        self._files = files
        self._clock = clock
        self._video = choose_video(
            options.video, fast=options.fast, work_folder=files.state, console=console
        )
        self.title = self._video.title
        console.print(
            Text(f"Playing: {self.title}. Below is what the box reports to its centre over MQTT."),
            soft_wrap=True,
        )
        # A copy, for the user to edit.
        shutil.copyfile(self._video.scene, files.scene)
        self.config = _build_config(self._video, files, broker_url, authority)
        (source,) = camera_source.build_sources(self.config, clock, "demo")
        self._pacer = FramePacer() if options.fast else None
        self._open_camera = source.open_main
        self._open_once = OpenOnce(self._open_video)
        self.source = msgspec.structs.replace(source, open_main=self._open_once)
        self._first_event_time: str | None = None
        self._agent: Agent | None = None
        self._first_frame: Frame | None = None
        self._request = SignedRequest(self.config, CAMERA_NAME, authority, clock)
        self._annotated_video = AnnotatedVideoWriter(
            files.annotated_video,
            scenes.load_scene(self._video.scene),
            self.title,
            self.config.camera[0].detect.fps,
            every_frame=options.fast,
        )

    def start(self, agent: Agent) -> None:
        """Keep the agent, to ask it for the video's end, and connect the operator. Raises: UserError."""
        self._agent = agent
        self._request.start()

    def on_frame_result(self, frame: Frame, result: FrameResult) -> None:
        """Draw the frame, and let the camera give the next one."""
        self._first_frame = self._first_frame or frame
        self._annotated_video.add_frame(frame, result)
        if self._pacer is not None:
            self._pacer.mark_free()

    def on_event(self, event: EventData) -> None:
        """Caption the event on the annotated video, and remember when the first one began."""
        self._annotated_video.add_event(event)
        self._first_event_time = self._first_event_time or event.begin_time

    def on_snapshot(self, header: SnapshotHeader, path: Path) -> None:
        """Ignore the snapshot: it is only stored."""

    def advance(self, *, draining: bool) -> None:
        """Ask for a picture after the first event. Otherwise the video plays by itself."""
        if self._first_event_time is not None and not draining:
            self._request.send()

    def is_over(self) -> bool:
        """Return whether the video has ended."""
        has_ended = self._agent is not None and self._agent.wait_until_ended(0)
        return has_ended or self._open_once.has_ended

    def screen(self, stats: StatsView) -> ScreenContent:
        """Return the current moment."""
        duration_s = min(self._video.duration_s, self._options.duration_s or math.inf)
        return video_screen(stats, self.title, duration_s, self.config.broker.url)

    def finish(self, public_key: str | None) -> VideoDemoResult:
        """Finish the annotated video, and export and verify the footage of the first events."""
        self._annotated_video.close()
        self._save_picture()
        queue = None if self._agent is None else self._agent.pipelines[0].latest_frame
        return VideoDemoResult(
            video=self._video,
            export_check=self._check_export(public_key),
            public_key=public_key,
            skipped_frames=queue.replaced if queue else 0,
            video_error=self._annotated_video.error,
            command=self._request.result(has_event=self._first_event_time is not None),
        )

    def close(self) -> None:
        """Finish the annotated video, and disconnect the operator."""
        self._annotated_video.close()
        self._request.close()

    def _save_picture(self) -> None:
        """Save the first frame, for the scene editor."""
        if self._first_frame is None:
            return
        try:
            self._files.picture.write_bytes(encode_snapshot(self._first_frame, _MAX_PICTURE_BYTES))
        except OSError as error:
            raise UserError(f"{self._files.picture}: {error.strerror or error}") from error

    def _check_export(self, public_key: str | None) -> ExportCheck | None:
        begin = self._first_event_time
        if begin is None:
            return None
        return check_export(self._files, CAMERA_NAME, begin, public_key, self._clock)

    def _open_video(self, wanted: StreamRequest) -> Camera:
        # A video played fast is dated as if it ended now.
        duration_ns = round(self._video.duration_s * 1e9) if self._options.fast else 0
        base_ns = max(0, self._clock.boottime_ns() - duration_ns) if self._options.fast else 0
        camera = self._open_camera(wanted)
        return DemoVideoCamera(camera, self._options.duration_s, self._pacer, base_ns)


def _build_config(
    video: DemoVideo, files: DemoFiles, broker_url: str, authority: DemoAuthority
) -> Config:
    camera = CameraConfig(
        name=CAMERA_NAME,
        driver=video.driver,
        options=video.options,
        detect=DetectConfig(scene=str(video.scene)),
    )
    return Config(
        box=BoxConfig(id=BOX_ID, site="the demo", state=str(files.state)),
        broker=BrokerConfig(url=broker_url),
        control=ControlConfig(ca=str(authority.ca_file)),
        camera=(camera,),
        record=RecordConfig(max_bytes=_MAX_FOOTAGE_BYTES),
        health=HealthConfig(interval_s=1.0),
    )


def video_screen(
    stats: StatsView, video_title: str, duration_s: float, broker_url: str
) -> ScreenContent:
    """Return the screen's content. `duration_s` is how much of the video is played."""
    played, total = format_clock(stats.video_s), format_clock(duration_s)
    return ScreenContent(
        t_s=stats.video_s,
        title=f"Vigie demo: {video_title}, {played} of {total}",
        stats=stats,
        status=_status(stats),
        status_line=f"tracked so far: {format_counts(stats.track_counts)}",
        log_title=f"Events, as they reach the centre over MQTT ({broker_url})",
        log=stats.recent_events,
        log_total=stats.event_total,
    )


def _status(stats: StatsView) -> Table:
    table = status_table()
    table.add_row("In sight", render_in_sight(stats))
    table.add_row("Tracked so far", render_counts(stats.track_counts))
    for line in stats.line_counts:
        crossings = f"{format_count(line.label, line.count)} {line.direction}"
        table.add_row(Text(f"Line {line.line}"), Text(crossings))
    filled_cells = round(min(1.0, stats.motion_ratio * 4) * _BAR_CELLS)
    bar = Text("█" * filled_cells, "green") + Text("░" * (_BAR_CELLS - filled_cells), "dim")
    table.add_row("Motion", bar + Text(f" {100 * stats.motion_ratio:.0f} % of the picture"))
    for camera in stats.health.cameras if stats.health else ():
        table.add_row("Camera", f"{camera.stream_fps:.1f} frames/s captured")
    for detector in stats.health.detectors if stats.health else ():
        cost = "" if detector.inference_ms is None else f", {detector.inference_ms:.0f} ms each"
        table.add_row("Detector", f"{detector.inferences_per_s:.1f} inferences/s{cost}")
    return table


class SignedRequest:
    """Sends one signed command for a picture, and one without a signature, as an attacker at the broker could."""

    def __init__(self, config: Config, camera: str, authority: DemoAuthority, clock: Clock) -> None:
        self._url = config.broker.url
        self._camera = camera
        self._replies: dict[str, Reply] = {}
        self._signed_id: str | None = None
        self._unsigned_id: str | None = None
        rng = random.Random()  # noqa: S311 - jitter, not secrets
        self._operator = DemoOperator(
            config.broker, config.box.id, authority, self._on_reply, clock, rng
        )
        self._thread = StageThread(self._operator, clock.boottime_ns, rng, vital=False)

    def start(self) -> None:
        """Connect. Raises: UserError if the broker does not answer."""
        self._thread.start()
        if not self._operator.online.wait(CONNECT_TIMEOUT_S):
            raise UserError(f"demo: the broker at {self._url} does not answer")

    def send(self) -> None:
        """Send both commands, once."""
        if self._signed_id is None:
            args = {"camera": self._camera}
            self._signed_id = self._operator.send_command(AMINA, COMMAND.verb, args)
            self._unsigned_id = self._operator.send_unsigned(AMINA, COMMAND.verb, args)

    def result(self, *, has_event: bool) -> str:
        """Return the outcome of both, for the summary; `has_event` is whether the centre has received an event."""
        if self._signed_id is None:
            return (
                f"none: {'the first event came at the end' if has_event else 'there was no event'}"
            )
        signed = self._replies.get(self._signed_id)
        unsigned = self._replies.get(self._unsigned_id or "")
        return f"a picture, signed by {AMINA.title}: {_outcome(signed)}; unsigned: {_outcome(unsigned)}"

    def close(self) -> None:
        """Disconnect."""
        self._thread.stop()
        self._thread.join(_STOP_TIMEOUT_S)

    def _on_reply(self, reply: Reply) -> None:
        if isinstance(reply, CommandDone | CommandRefused) and reply.command is not None:
            self._replies[reply.command] = reply


def _outcome(reply: Reply | None) -> str:
    match reply:
        case CommandDone():
            size_bytes = decode_json(reply.result, SnapshotResult).size_bytes
            return f"done, {size_bytes / 1000:.0f} kB"
        case CommandRefused():
            return f"refused ({reply.code})"
    return "no reply"
