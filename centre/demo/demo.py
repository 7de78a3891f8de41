"""One run of the demo: a film, a broker, the complete agent, and the centre, till the film ends."""

import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from agent.app.agent import Agent
from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.base.model import FrameResult
from agent.capture import camera_source
from agent.capture.camera_source import CameraSource
from agent.config.configuration import (
    BoxConfig,
    BrokerConfig,
    CameraConfig,
    Config,
    DetectConfig,
    HealthConfig,
    OutboxConfig,
    RecordConfig,
)
from agent.detection import scene as scenes
from agent.runtime.sd_notify import Notifier
from agent.runtime.stop_signals import StopSignals
from centre.annotated_video import AnnotatedVideoWriter
from centre.demo.broker import run_broker
from centre.demo.demo_centre import DemoCentre
from centre.demo.display import DemoDisplay, VideoStatusLines, create_display
from centre.demo.export_check import ExportCheck, check_export
from centre.demo.files import DemoFiles
from centre.demo.log_redirect import redirect_logs
from centre.demo.screen import DemoState, render_screen
from centre.demo.stats import DemoStats
from centre.demo.summary import DemoSummary
from centre.demo.video_camera import DemoVideoCamera, FramePacer, OpenOnce
from centre.demo.video_source import DemoVideo, choose_video
from drivers.contracts import Camera, StreamRequest
from drivers.media import Frame

CAMERA_NAME = "street"
BOX_ID = "demo-box"

_REFRESH_S = 0.2
_CONNECT_TIMEOUT_S = 10.0
_DRAIN_TIMEOUT_S = 10.0
_MAX_FOOTAGE_BYTES = 2_000_000_000


class DemoRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to play and where to write. `seconds` is of the film; None plays all of it."""

    video: Path | None
    fast: bool
    out: Path
    duration_s: float | None


def run_demo(request: DemoRequest, console: Console) -> DemoSummary:
    """Play the film through the agent, show it, and tell what came of it.

    Raises UserError or DriverError where what was given cannot be used.
    """
    files = DemoFiles(request.out)
    with redirect_logs(files.log):
        video = choose_video(
            request.video, fast=request.fast, work_folder=files.state, console=console
        )
        message = (
            f"Playing: {video.title}. What follows is what a box would tell its centre, over MQTT."
        )
        console.print(Text(message), soft_wrap=True)
        # A copy, for the user to draw on.
        shutil.copyfile(video.scene, files.scene)
        # Ctrl-C ends the film, and the summary comes all the same.
        with run_broker(files.state) as broker_url, StopSignals() as signals:
            return _DemoRun(request, files, video, broker_url, console).run(signals)


class _DemoRun:
    """The parts of one run."""

    def __init__(
        self,
        request: DemoRequest,
        files: DemoFiles,
        video: DemoVideo,
        broker_url: str,
        console: Console,
    ) -> None:
        self._request = request
        self._files = files
        self._video = video
        self._broker_url = broker_url
        self._console = console
        self._clock = SystemClock()
        self._rng = random.Random()  # noqa: S311 - jitter, not secrets
        self._stats = DemoStats()
        self._pacer = FramePacer() if request.fast else None
        config = _build_config(video, files, broker_url)
        scene = scenes.load_scene(video.scene)
        self._annotated_video = AnnotatedVideoWriter(
            files.annotated_video,
            scene,
            video.title,
            config.camera[0].detect.fps,
            every_frame=request.fast,
        )
        self._agent = Agent(
            config,
            [
                self._wrap_source(source)
                for source in camera_source.build_sources(config, self._clock, "demo")
            ],
            self._clock,
            self._rng,
            notifier=Notifier({}),
            on_frame_result=self._on_frame_result,
        )
        self._centre = DemoCentre(
            broker_url,
            files,
            self._stats,
            self._annotated_video.add_event,
            self._clock.boottime_ns,
            self._rng,
        )

    def run(self, signals: StopSignals) -> DemoSummary:
        """From the first frame to the last message."""
        if not self._centre.start(_CONNECT_TIMEOUT_S):
            raise UserError(f"the demo's broker at {self._broker_url} does not answer")
        self._agent.start()
        with self._create_display() as display:
            interrupted = self._show_until(display, signals, math.inf, self._is_video_over)
            self._show_until(display, signals, _DRAIN_TIMEOUT_S, self._is_outbox_empty)
        self._agent.stop()
        self._centre.stop(_DRAIN_TIMEOUT_S)
        self._annotated_video.close()
        (pipeline,) = self._agent.pipelines
        return DemoSummary(
            stats=self._stats.view(),
            footage=pipeline.record_stage.footage_health() if pipeline.record_stage else None,
            export_check=self._check_export(),
            faults=self._agent.faults.active(),
            skipped_frames=pipeline.latest_frame.replaced if pipeline.latest_frame else 0,
            video_error=self._annotated_video.error,
            unacked_messages=self._agent.outbox.depth,
            interrupted=interrupted,
            video=self._video,
            files=self._files,
        )

    def _check_export(self) -> ExportCheck | None:
        """The footage of the first events, out of the box; None where nothing happened."""
        begin = self._centre.first_event_time
        if begin is None:
            return None
        return check_export(self._files, CAMERA_NAME, begin, self._centre.public_key, self._clock)

    def _show_until(
        self,
        display: DemoDisplay[DemoState],
        signals: StopSignals,
        timeout_s: float,
        is_done: Callable[[], bool],
    ) -> bool:
        """Show how it stands until it is done, or too long; True where a signal ended it."""
        deadline_s = self._now_s() + timeout_s
        while not is_done() and self._now_s() < deadline_s:
            display.show(self._current_state())
            if signals.wait(_REFRESH_S):
                return True
        display.show(self._current_state())
        return False

    def _is_video_over(self) -> bool:
        return self._agent.wait_until_ended(0)

    def _is_outbox_empty(self) -> bool:
        return self._agent.outbox.depth == 0

    def _current_state(self) -> DemoState:
        duration_s = self._request.duration_s
        return DemoState(
            stats=self._stats.view(),
            video_title=self._video.title,
            duration_s=min(self._video.duration_s, math.inf if duration_s is None else duration_s),
            broker_url=self._broker_url,
        )

    def _create_display(self) -> DemoDisplay[DemoState]:
        return create_display(self._console, render_screen, VideoStatusLines())

    def _on_frame_result(self, camera: str, frame: Frame, result: FrameResult) -> None:
        """In the detect thread: a frame was judged."""
        self._stats.add_frame(result)
        self._annotated_video.add_frame(frame, result)
        if self._pacer is not None:
            self._pacer.mark_free()

    def _wrap_source(self, source: CameraSource) -> CameraSource:
        """The source with the demo's camera around its own."""

        def open_video(wanted: StreamRequest) -> Camera:
            # A fast film is as if it had been made until now.
            duration_ns = round(self._video.duration_s * 1e9) if self._request.fast else 0
            base_ns = max(0, self._clock.boottime_ns() - duration_ns) if self._request.fast else 0
            inner = source.open_main(wanted)
            return DemoVideoCamera(inner, self._request.duration_s, self._pacer, base_ns)

        return msgspec.structs.replace(source, open_main=OpenOnce(open_video))

    def _now_s(self) -> float:
        return self._clock.boottime_ns() / 1e9


def _build_config(video: DemoVideo, files: DemoFiles, broker_url: str) -> Config:
    """What a technician would write for this box."""
    camera = CameraConfig(
        name=CAMERA_NAME,
        driver=video.driver,
        options=video.options,
        detect=DetectConfig(scene=str(video.scene)),
    )
    return Config(
        box=BoxConfig(id=BOX_ID, site="the demo", state=str(files.state)),
        broker=BrokerConfig(url=broker_url),
        camera=(camera,),
        outbox=OutboxConfig(),
        record=RecordConfig(max_bytes=_MAX_FOOTAGE_BYTES),
        health=HealthConfig(every_s=1.0),
    )
