"""Scenario of the plain demo: a video of a street, as the camera of a box."""

import math
import shutil
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from agent.app.agent import Agent
from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.model import FrameResult
from agent.capture import camera_source
from agent.config.broker import BrokerConfig
from agent.config.configuration import BoxConfig, CameraConfig, Config, DetectConfig, HealthConfig
from agent.config.control import ControlConfig
from agent.config.recording import RecordConfig
from agent.config_change.actuator_specs import ActuatorSpecs
from agent.detection import scene as scenes
from agent.detection.image import encode_snapshot
from agent.reporting.payloads import EventData, SnapshotHeader
from centre.annotated_video import AnnotatedVideoWriter
from centre.demo.demo_authority import DemoAuthority
from centre.demo.export_check import ExportCheck, check_export
from centre.demo.files import DemoFiles
from centre.demo.screen import ScreenContent
from centre.demo.signed_request import SignedRequest
from centre.demo.stats import StatsView
from centre.demo.video_camera import DemoVideoCamera, FramePacer, OpenOnce
from centre.demo.video_screen import video_screen
from centre.demo.video_source import DemoVideo, choose_video
from centre.demo.video_summary import VideoDemoResult
from drivers.contracts import Camera, StreamRequest
from drivers.media import Frame

CAMERA_NAME = "street"
BOX_ID = "demo-box"
_MAX_FOOTAGE_BYTES = 2_000_000_000
_MAX_PICTURE_BYTES = 1_000_000


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
