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

from agent.app.actuator_specs import load_actuator_specs
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
from centre.demo.broker import run_broker
from centre.demo.demo_centre import DemoCentre
from centre.demo.demo_operator import DemoOperator
from centre.demo.display import DemoDisplay, create_display
from centre.demo.files import DemoFiles
from centre.demo.log_redirect import redirect_logs
from centre.demo.ptz_config import RenderedStreet, build_camera_source, visca_options, write_config
from centre.demo.ptz_log import PtzLog
from centre.demo.ptz_screen import PtzDemoState, format_holder, render_ptz_screen
from centre.demo.ptz_script import PRESETS, SCRIPT, PtzScript, ScriptRunner
from centre.demo.ptz_summary import PtzSummary
from centre.demo.simulated_head import attach_head
from centre.demo.stats import DemoStats
from drivers.media import Frame
from drivers.simulated.motion import HeadSimulator

_REFRESH_S = 0.2
_CONNECT_TIMEOUT_S = 10.0
_DRAIN_TIMEOUT_S = 10.0
_STATUS_EVERY_S = 5.0


class PtzDemoRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Where to write, after how many seconds to end (None for the script's end), and the script."""

    out: Path
    duration_s: float | None = None
    script: PtzScript = SCRIPT


class _ReceivedSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A picture as it came in at the centre."""

    header: SnapshotHeader
    path: Path


_InboxItem: TypeAlias = Reply | Event | _ReceivedSnapshot


def run_ptz_demo(request: PtzDemoRequest, console: Console) -> PtzSummary:
    """Play it, show it, and tell what came of it. Raises UserError where it cannot be played."""
    files = DemoFiles(request.out)
    clock = SystemClock()
    with redirect_logs(files.log), run_broker(files.state) as broker_url:
        config = write_config(files, broker_url, request.script)
        console.print("Painting a street all around a pole ...", highlight=False)
        street = RenderedStreet(config)
        console.print(
            "On the pole: a camera on a pan-tilt head, which speaks VISCA on a serial line (a pty). "
            "What follows is what the box says over MQTT, and where its head is.",
            highlight=False,
            soft_wrap=True,
        )
        with (
            attach_head(visca_options(config), clock.boottime_ns) as head_motion,
            StopSignals() as signals,
        ):
            run = _PtzDemoRun(request, files, config, clock, head_motion, street, console)
            return run.run(signals)


class _PtzDemoRun:
    """The parts of one run. All but what is put into the inbox happens in the main thread."""

    def __init__(
        self,
        request: PtzDemoRequest,
        files: DemoFiles,
        config: Config,
        clock: SystemClock,
        head_motion: HeadSimulator,
        street: RenderedStreet,
        console: Console,
    ) -> None:
        self._request = request
        self._files = files
        self._config = config
        self._clock = clock
        self._console = console
        self._start_ns = clock.boottime_ns()
        self._stats = DemoStats()
        self._log = PtzLog()
        self._script_runner = ScriptRunner(request.script)
        self._inbox: queue.SimpleQueue[tuple[float, _InboxItem]] = queue.SimpleQueue()
        self._snapshots: dict[str, Path] = {}
        rng = random.Random()  # noqa: S311 - jitter, not secrets
        broker_url = config.broker.url
        self._agent = Agent(
            config,
            [build_camera_source(config, clock, head_motion, street)],
            clock,
            rng,
            specs=load_actuator_specs(config, clock, "demo"),
            notifier=Notifier({}),
            on_frame_result=self._on_frame_result,
        )
        self._centre = DemoCentre(
            broker_url,
            files,
            self._stats,
            self._enqueue,
            clock.boottime_ns,
            rng,
            lambda header, path: self._enqueue(_ReceivedSnapshot(header=header, path=path)),
        )
        self._operator = DemoOperator(broker_url, config.box.id, self._enqueue, clock, rng)
        self._operator_thread = StageThread(self._operator, clock.boottime_ns, rng, vital=False)

    def run(self, signals: StopSignals) -> PtzSummary:
        """From the first word to the last message."""
        self._operator_thread.start()
        online = self._centre.start(_CONNECT_TIMEOUT_S)
        if not online or not self._operator.online.wait(_CONNECT_TIMEOUT_S):
            raise UserError(f"the demo's broker at {self._config.broker.url} does not answer")
        self._agent.start()
        self._start_ns = self._clock.boottime_ns()
        timeout_s = math.inf if self._request.duration_s is None else self._request.duration_s
        with self._create_display() as display:
            interrupted = self._show_until(display, signals, timeout_s, self._is_over)
            self._show_until(
                display, signals, _DRAIN_TIMEOUT_S, self._is_outbox_empty, runs_script=False
            )
        duration_s = self._now_s()
        self._agent.stop()
        self._operator_thread.stop()
        self._operator_thread.join(_DRAIN_TIMEOUT_S)
        self._centre.stop(_DRAIN_TIMEOUT_S)
        (pipeline,) = self._agent.pipelines
        return PtzSummary(
            milestones=self._log.milestones,
            duration_s=duration_s,
            stats=self._stats.view(),
            footage=pipeline.record_stage.footage_health() if pipeline.record_stage else None,
            faults=self._agent.faults.active(),
            unacked_messages=self._agent.outbox.depth,
            interrupted=interrupted,
            files=self._files,
        )

    def _show_until(
        self,
        display: DemoDisplay[PtzDemoState],
        signals: StopSignals,
        timeout_s: float,
        is_done: Callable[[], bool],
        *,
        runs_script: bool = True,
    ) -> bool:
        """Go on, and show how it stands, until it is done, or too long; True where a signal ended
        it.
        """
        deadline_s = self._now_s() + timeout_s
        while not is_done() and self._now_s() < deadline_s:
            display.show(self._update_state(runs_script=runs_script))
            if signals.wait(_REFRESH_S):
                return True
        display.show(self._update_state(runs_script=False))
        return False

    def _update_state(self, *, runs_script: bool) -> PtzDemoState:
        """Take in what came, let the next one speak whose turn it is, and look at all of it."""
        self._process_inbox()
        (head,) = self._agent.actuators.heads_health()
        if self._log.update_head(self._now_s(), head):
            self._script_runner.on_tour_stop()
        if runs_script:
            self._send_due_step(head)
        (pipeline,) = self._agent.pipelines
        scene_in_force = None if pipeline.active_scene is None else pipeline.active_scene.current()
        config = self._config.head[0]
        return PtzDemoState(
            t_s=self._now_s(),
            stats=self._stats.view(),
            head=head,
            lease=self._log.lease,
            rules_active=scene_in_force is not None and scene_in_force.scene is not None,
            scene_preset=None if scene_in_force is None else scene_in_force.preset,
            log_lines=tuple(self._log.lines),
            preset_pans_deg={
                name: PRESETS[name][0] for name in self._log.milestones.stored_presets
            },
            forbidden=config.forbidden,
            fov=config.fov_deg or FieldOfView(wide=60, tele=60),
            head_text=f"'{head.name}', {config.driver.upper()} at {config.options['baud']} baud on a pty",
            broker_url=self._config.broker.url,
        )

    def _send_due_step(self, head: HeadHealth) -> None:
        step = self._script_runner.next_step(self._now_s(), head)
        if step is None:
            return
        args = step.args
        if step.with_token:
            args = args | {"token": self._log.lease_token(step.person)}
        command_id = self._operator.send(step.person, step.verb, args)
        self._log.add_command(self._now_s(), command_id, step)

    def _process_inbox(self) -> None:
        """What has come in since."""
        while not self._inbox.empty():
            t_s, item = self._inbox.get()
            match item:
                case Event():
                    self._log.add_event(t_s, item)
                case _ReceivedSnapshot():
                    self._on_snapshot(t_s, item)
                case _:
                    if self._log.add_reply(t_s, item):
                        self._script_runner.on_reply(t_s)
                    self._save_panorama(t_s)

    def _on_snapshot(self, t_s: float, snapshot: _ReceivedSnapshot) -> None:
        data = snapshot.header.data
        if data.event is None:
            self._snapshots[data.sha256] = snapshot.path
            self._log.add_snapshot(t_s, snapshot.path)
            self._save_panorama(t_s)

    def _save_panorama(self, t_s: float) -> None:
        """Once both its picture and the reply that names it have come."""
        path = self._snapshots.pop(self._log.panorama_sha256 or "", None)
        if path is not None:
            shutil.copyfile(path, self._files.panorama)
            self._log.add_panorama(t_s, self._files.panorama)

    def _enqueue(self, item: _InboxItem) -> None:
        """From any thread."""
        self._inbox.put((self._now_s(), item))

    def _is_over(self) -> bool:
        return self._script_runner.is_over(self._now_s())

    def _is_outbox_empty(self) -> bool:
        return self._agent.outbox.depth == 0

    def _create_display(self) -> DemoDisplay[PtzDemoState]:
        return create_display(self._console, render_ptz_screen, PtzStatusLines())

    def _on_frame_result(self, _camera: str, _frame: Frame, result: FrameResult) -> None:
        """In the detect thread: a frame was looked at."""
        self._stats.add_frame(result)

    def _now_s(self) -> float:
        return (self._clock.boottime_ns() - self._start_ns) / 1e9


class PtzStatusLines:
    """A line for each thing that happened, and now and then where the head looks and who has it."""

    def __init__(self) -> None:
        self._shown_count = 0
        self._last_status_s = 0.0

    def __call__(self, state: PtzDemoState) -> list[str]:
        """What is new."""
        new_lines = state.log_lines[self._shown_count :]
        self._shown_count = len(state.log_lines)
        lines = [f"{line.t_s:6.1f} s  {line.text}" for line in new_lines]
        head = state.head
        if state.t_s - self._last_status_s >= _STATUS_EVERY_S and head.pan_deg is not None:
            self._last_status_s = state.t_s
            rules_text = "pause"
            if state.rules_active:
                rules_text = f"of '{state.scene_preset}'" if state.scene_preset else "none here"
            labels_text = (
                ", ".join(sorted({track.label for track in state.stats.tracks})) or "nobody"
            )
            lines.append(
                f"{state.t_s:6.1f} s  -- pan {head.pan_deg:.1f}, tilt {head.tilt_deg:.1f}; "
                f"{format_holder(state)}; rules {rules_text}; in sight: {labels_text}"
            )
        return lines
