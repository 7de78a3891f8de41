"""One run of the demo with a head: a street all around, a tour, and people who want the head."""

import math
import queue
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import msgspec
from rich.console import Console

from agent.app.actuator_specs import fittings
from agent.app.agent import Agent
from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.base.health_model import HeadHealth
from agent.base.model import Event, FrameResult, Reply
from agent.config.configuration import Config
from agent.config.heads import FieldOfView
from agent.reporting.payloads import SnapshotHeader
from agent.runtime.sd_notify import Notifier
from agent.runtime.stage import StageThread
from agent.runtime.stop_signals import StopSignals
from centre.demo.broker import running_broker
from centre.demo.centre import DemoCentre
from centre.demo.demo_operator import DemoOperator
from centre.demo.files import DemoFiles
from centre.demo.log_file import log_into
from centre.demo.ptz_box import Street, turning_source, visca_options, written_config
from centre.demo.ptz_log import PtzLog
from centre.demo.ptz_screen import PtzMoment, ptz_screen, whose
from centre.demo.ptz_script import PRESETS, SCRIPT, Prompter, Script
from centre.demo.ptz_summary import PtzSummary
from centre.demo.simulated_head import plugged_in
from centre.demo.stats import DemoStats
from centre.demo.view import DemoView, view_on
from drivers.media import Frame
from drivers.simulated.motion import HeadMotion

_SHOW_EVERY_S = 0.2
_ONLINE_WITHIN_S = 10.0
_DRAINED_WITHIN_S = 10.0
_STATUS_EVERY_S = 5.0


class PtzRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Where to write, after how many seconds to end (None for the script's end), and the script."""

    out: Path
    seconds: float | None = None
    script: Script = SCRIPT


class _Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture as it came in at the centre."""

    header: SnapshotHeader
    path: Path


_Item: TypeAlias = Reply | Event | _Picture


def run_ptz_demo(request: PtzRequest, console: Console) -> PtzSummary:
    """Play it, show it, and tell what came of it. Raises BadInput where it cannot be played."""
    files = DemoFiles(request.out)
    clock = SystemClock()
    with log_into(files.log), running_broker(files.state) as broker_url:
        config = written_config(files, broker_url, request.script)
        console.print("Painting a street all around a pole ...", highlight=False)
        street = Street(config)
        console.print(
            "On the pole: a camera on a pan-tilt head, which speaks VISCA on a serial line (a pty). "
            "What follows is what the box says over MQTT, and where its head is.",
            highlight=False,
            soft_wrap=True,
        )
        with plugged_in(visca_options(config), clock.boottime_ns) as body, StopSignals() as signals:
            run = _PtzRun(request, files, config, clock, body, street, console)
            return run.play(signals)


class _PtzRun:
    """The parts of one run. All but what is put into the inbox happens in the main thread."""

    def __init__(
        self,
        request: PtzRequest,
        files: DemoFiles,
        config: Config,
        clock: SystemClock,
        body: HeadMotion,
        street: Street,
        console: Console,
    ) -> None:
        self._request = request
        self._files = files
        self._config = config
        self._clock = clock
        self._console = console
        self._began_ns = clock.boottime_ns()
        self._tally = DemoStats()
        self._chronicle = PtzLog()
        self._prompter = Prompter(request.script)
        self._inbox: queue.SimpleQueue[tuple[float, _Item]] = queue.SimpleQueue()
        self._pictures: dict[str, Path] = {}
        rng = random.Random()  # noqa: S311 - jitter, not secrets
        broker_url = config.broker.url
        self._agent = Agent(
            config,
            [turning_source(config, clock, body, street)],
            clock,
            rng,
            fittings=fittings(config, clock, "demo"),
            notifier=Notifier({}),
            on_sight=self._on_sight,
        )
        self._centre = DemoCentre(
            broker_url,
            files,
            self._tally,
            self._put,
            clock.boottime_ns,
            rng,
            lambda header, path: self._put(_Picture(header=header, path=path)),
        )
        self._room = DemoOperator(broker_url, config.box.id, self._put, clock, rng)
        self._room_thread = StageThread(self._room, clock.boottime_ns, rng, vital=False)

    def play(self, signals: StopSignals) -> PtzSummary:
        """From the first word to the last message."""
        self._room_thread.start()
        online = self._centre.start(_ONLINE_WITHIN_S)
        if not online or not self._room.online.wait(_ONLINE_WITHIN_S):
            raise UserError(f"the demo's broker at {self._config.broker.url} does not answer")
        self._agent.start()
        self._began_ns = self._clock.boottime_ns()
        longest_s = math.inf if self._request.seconds is None else self._request.seconds
        with self._view() as view:
            stopped = self._show(view, signals, longest_s, self._is_over)
            self._show(view, signals, _DRAINED_WITHIN_S, self._all_arrived, plays=False)
        ended_s = self._now_s()
        self._agent.stop()
        self._room_thread.stop()
        self._room_thread.join(_DRAINED_WITHIN_S)
        self._centre.stop(_DRAINED_WITHIN_S)
        (lane,) = self._agent.lanes
        return PtzSummary(
            milestones=self._chronicle.so_far,
            lasted_s=ended_s,
            view=self._tally.view(),
            footage=lane.record.footage() if lane.record else None,
            faults=self._agent.faults.active(),
            waiting=self._agent.outbox.depth,
            stopped=stopped,
            files=self._files,
        )

    def _show(
        self,
        view: DemoView[PtzMoment],
        signals: StopSignals,
        longest_s: float,
        is_done: Callable[[], bool],
        *,
        plays: bool = True,
    ) -> bool:
        """Go on, and show how it stands, until it is done, or too long; True where a signal ended
        it.
        """
        end_s = self._now_s() + longest_s
        while not is_done() and self._now_s() < end_s:
            view.show(self._moment(plays=plays))
            if signals.wait(_SHOW_EVERY_S):
                return True
        view.show(self._moment(plays=False))
        return False

    def _moment(self, *, plays: bool) -> PtzMoment:
        """Take in what came, let the next one speak whose turn it is, and look at all of it."""
        self._hear()
        (head,) = self._agent.hands.heads_health()
        if self._chronicle.looked(self._now_s(), head):
            self._prompter.tour_stopped()
        if plays:
            self._prompt(head)
        (lane,) = self._agent.lanes
        stay = None if lane.viewpoint is None else lane.viewpoint.stay()
        config = self._config.head[0]
        return PtzMoment(
            t_s=self._now_s(),
            view=self._tally.view(),
            head=head,
            held=self._chronicle.held,
            judged=stay is not None and stay.scene is not None,
            watching=None if stay is None else stay.preset,
            lines=tuple(self._chronicle.lines),
            presets={name: PRESETS[name][0] for name in self._chronicle.so_far.presets},
            forbidden=config.forbidden,
            fov=config.fov_deg or FieldOfView(wide=60, tele=60),
            line=f"'{head.name}', {config.driver.upper()} at {config.options['baud']} baud on a pty",
            broker=self._config.broker.url,
        )

    def _prompt(self, head: HeadHealth) -> None:
        step = self._prompter.due(self._now_s(), head)
        if step is None:
            return
        args = step.args
        if step.with_token:
            args = args | {"token": self._chronicle.token_of(step.who)}
        command = self._room.send(step.who, step.verb, args)
        self._chronicle.asked(self._now_s(), command, step)

    def _hear(self) -> None:
        """What has come in since."""
        while not self._inbox.empty():
            t_s, item = self._inbox.get()
            match item:
                case Event():
                    self._chronicle.happened(t_s, item)
                case _Picture():
                    self._pictured(t_s, item)
                case _:
                    if self._chronicle.replied(t_s, item):
                        self._prompter.answered(t_s)
                    self._keep_panorama(t_s)

    def _pictured(self, t_s: float, picture: _Picture) -> None:
        data = picture.header.data
        if data.event is None:
            self._pictures[data.sha256] = picture.path
            self._chronicle.pictured(t_s, picture.path)
            self._keep_panorama(t_s)

    def _keep_panorama(self, t_s: float) -> None:
        """Once both its picture and the reply that names it have come."""
        path = self._pictures.pop(self._chronicle.panorama_sha256 or "", None)
        if path is not None:
            shutil.copyfile(path, self._files.panorama)
            self._chronicle.all_around(t_s, self._files.panorama)

    def _put(self, item: _Item) -> None:
        """From any thread."""
        self._inbox.put((self._now_s(), item))

    def _is_over(self) -> bool:
        return self._prompter.is_over(self._now_s())

    def _all_arrived(self) -> bool:
        return self._agent.outbox.depth == 0

    def _view(self) -> DemoView[PtzMoment]:
        return view_on(self._console, ptz_screen, PtzLines())

    def _on_sight(self, _camera: str, _frame: Frame, sight: FrameResult) -> None:
        """In the detect thread: a frame was looked at."""
        self._tally.saw(sight)

    def _now_s(self) -> float:
        return (self._clock.boottime_ns() - self._began_ns) / 1e9


class PtzLines:
    """A line for each thing that happened, and now and then where the head looks and who has it."""

    def __init__(self) -> None:
        self._shown = 0
        self._status_s = 0.0

    def __call__(self, moment: PtzMoment) -> list[str]:
        """What is new."""
        new = moment.lines[self._shown :]
        self._shown = len(moment.lines)
        lines = [f"{line.t_s:6.1f} s  {line.text}" for line in new]
        head = moment.head
        if moment.t_s - self._status_s >= _STATUS_EVERY_S and head.pan_deg is not None:
            self._status_s = moment.t_s
            rules = "pause"
            if moment.judged:
                rules = f"of '{moment.watching}'" if moment.watching else "none here"
            sees = ", ".join(sorted({track.label for track in moment.view.tracks})) or "nobody"
            lines.append(
                f"{moment.t_s:6.1f} s  -- pan {head.pan_deg:.1f}, tilt {head.tilt_deg:.1f}; "
                f"{whose(moment)}; rules {rules}; in sight: {sees}"
            )
        return lines
