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
from centre.demo.annotated_film import RecordedFilm
from centre.demo.broker import running_broker
from centre.demo.centre import DemoCentre
from centre.demo.export_check import ExportCheck, prove
from centre.demo.files import DemoFiles
from centre.demo.film import Film, choose_film
from centre.demo.film_camera import FilmCamera, FramePacer, OnceOnly
from centre.demo.log_file import log_into
from centre.demo.screen import Moment, screen
from centre.demo.stats import DemoStats
from centre.demo.summary import Summary
from centre.demo.view import DemoView, FilmLines, view_on
from drivers.contracts import Camera, Wanted
from drivers.media import Frame

CAMERA = "street"
BOX = "demo-box"

_SHOW_EVERY_S = 0.2
_ONLINE_WITHIN_S = 10.0
_DRAINED_WITHIN_S = 10.0
_RING_BYTES = 2_000_000_000


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to play and where to write. `seconds` is of the film; None plays all of it."""

    video: Path | None
    fast: bool
    out: Path
    seconds: float | None


def run_demo(request: Request, console: Console) -> Summary:
    """Play the film through the agent, show it, and tell what came of it.

    Raises BadInput or DriverError where what was given cannot be used.
    """
    files = DemoFiles(request.out)
    with log_into(files.log):
        film = choose_film(request.video, fast=request.fast, work=files.state, console=console)
        said = (
            f"Playing: {film.title}. What follows is what a box would tell its centre, over MQTT."
        )
        console.print(Text(said), soft_wrap=True)
        # A copy, for the user to draw on.
        shutil.copyfile(film.scene, files.scene)
        # Ctrl-C ends the film, and the summary comes all the same.
        with running_broker(files.state) as broker_url, StopSignals() as signals:
            return _Run(request, files, film, broker_url, console).play(signals)


class _Run:
    """The parts of one run."""

    def __init__(
        self, request: Request, files: DemoFiles, film: Film, broker_url: str, console: Console
    ) -> None:
        self._request = request
        self._files = files
        self._film = film
        self._broker_url = broker_url
        self._console = console
        self._clock = SystemClock()
        self._rng = random.Random()  # noqa: S311 - jitter, not secrets
        self._tally = DemoStats()
        self._turnstile = FramePacer() if request.fast else None
        config = _config(film, files, broker_url)
        scene = scenes.load(film.scene)
        self._recorded = RecordedFilm(
            files.film,
            scene,
            film.title,
            config.camera[0].detect.fps,
            every_frame=request.fast,
        )
        self._agent = Agent(
            config,
            [self._paced(source) for source in camera_source.sources(config, self._clock, "demo")],
            self._clock,
            self._rng,
            notifier=Notifier({}),
            on_sight=self._on_sight,
        )
        self._centre = DemoCentre(
            broker_url,
            files,
            self._tally,
            self._recorded.note,
            self._clock.boottime_ns,
            self._rng,
        )

    def play(self, signals: StopSignals) -> Summary:
        """From the first frame to the last message."""
        if not self._centre.start(_ONLINE_WITHIN_S):
            raise UserError(f"the demo's broker at {self._broker_url} does not answer")
        self._agent.start()
        with self._view() as view:
            stopped = self._show(view, signals, math.inf, self._film_is_over)
            self._show(view, signals, _DRAINED_WITHIN_S, self._all_arrived)
        self._agent.stop()
        self._centre.stop(_DRAINED_WITHIN_S)
        self._recorded.close()
        (lane,) = self._agent.lanes
        return Summary(
            view=self._tally.view(),
            footage=lane.record.footage() if lane.record else None,
            proof=self._prove(),
            faults=self._agent.faults.active(),
            skipped=lane.frames.replaced if lane.frames else 0,
            not_drawn=self._recorded.failed,
            waiting=self._agent.outbox.depth,
            stopped=stopped,
            film=self._film,
            files=self._files,
        )

    def _prove(self) -> ExportCheck | None:
        """The footage of the first events, out of the box; None where nothing happened."""
        begin = self._centre.first_event
        if begin is None:
            return None
        return prove(self._files, CAMERA, begin, self._centre.public_key, self._clock)

    def _show(
        self,
        view: DemoView[Moment],
        signals: StopSignals,
        longest_s: float,
        is_done: Callable[[], bool],
    ) -> bool:
        """Show how it stands until it is done, or too long; True where a signal ended it."""
        end_s = self._now_s() + longest_s
        while not is_done() and self._now_s() < end_s:
            view.show(self._moment())
            if signals.wait(_SHOW_EVERY_S):
                return True
        view.show(self._moment())
        return False

    def _film_is_over(self) -> bool:
        return self._agent.wait_ended(0)

    def _all_arrived(self) -> bool:
        return self._agent.outbox.depth == 0

    def _moment(self) -> Moment:
        seconds = self._request.seconds
        return Moment(
            view=self._tally.view(),
            film=self._film.title,
            length_s=min(self._film.length_s, math.inf if seconds is None else seconds),
            broker=self._broker_url,
        )

    def _view(self) -> DemoView[Moment]:
        return view_on(self._console, screen, FilmLines())

    def _on_sight(self, camera: str, frame: Frame, sight: FrameResult) -> None:
        """In the detect thread: a frame was judged."""
        self._tally.saw(sight)
        self._recorded.saw(frame, sight)
        if self._turnstile is not None:
            self._turnstile.leave()

    def _paced(self, source: CameraSource) -> CameraSource:
        """The source with the demo's camera around its own."""

        def open_film(wanted: Wanted) -> Camera:
            # A fast film is as if it had been made until now.
            ago_ns = round(self._film.length_s * 1e9) if self._request.fast else 0
            base_ns = max(0, self._clock.boottime_ns() - ago_ns) if self._request.fast else 0
            inner = source.open_main(wanted)
            return FilmCamera(inner, self._request.seconds, self._turnstile, base_ns)

        return msgspec.structs.replace(source, open_main=OnceOnly(open_film))

    def _now_s(self) -> float:
        return self._clock.boottime_ns() / 1e9


def _config(film: Film, files: DemoFiles, broker_url: str) -> Config:
    """What a technician would write for this box."""
    camera = CameraConfig(
        name=CAMERA,
        driver=film.driver,
        options=film.options,
        detect=DetectConfig(scene=str(film.scene)),
    )
    return Config(
        box=BoxConfig(id=BOX, site="the demo", state=str(files.state)),
        broker=BrokerConfig(url=broker_url),
        camera=(camera,),
        outbox=OutboxConfig(),
        record=RecordConfig(max_bytes=_RING_BYTES),
        health=HealthConfig(every_s=1.0),
    )
