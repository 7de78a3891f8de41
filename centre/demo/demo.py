"""One run of the demo: broker, agent and centre on this machine, until the scenario ends; its output, live or as lines."""

import logging
import os
import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from agent.app.agent import Agent
from agent.authority.signed_message import SigningIdentity
from agent.base.clock import Clock, SystemClock
from agent.base.errors import UserError
from agent.base.model import FrameResult
from agent.capture.camera_source import CameraSource
from agent.config.broker import BrokerConfig
from agent.config.configuration import Config
from agent.config_change.actuator_specs import ActuatorSpecs
from agent.config_change.start_config import StartConfig
from agent.reporting.payloads import (
    EventData,
    EventMessage,
    HealthMessage,
    OnlineStatus,
    SnapshotHeader,
    StatusMessage,
)
from agent.runtime.sd_notify import Notifier
from agent.runtime.stage import StageThread
from agent.runtime.stop_signals import StopSignals
from centre.client import DEFAULT_CENTRE, ActingCentre, CentreClient, ReceivedMessage, to_json_line
from centre.demo.broker import run_broker
from centre.demo.demo_authority import DemoAuthority
from centre.demo.files import DemoFiles
from centre.demo.screen import NewLines, ScreenContent, render_screen
from centre.demo.stats import DemoStats, StatsView
from centre.demo.summary import DemoSummary, PtzDemoResult, VideoDemoResult
from centre.store import CentreStore
from drivers.media import Frame

CONNECT_TIMEOUT_S = 10.0
_REFRESH_S = 0.2
_DRAIN_TIMEOUT_S = 10.0
_STDERR_FD = 2


class DemoCentre:
    """Runs on its own thread from `start` to `stop`; the callbacks are called on it."""

    def __init__(
        self,
        broker: BrokerConfig,
        identity: SigningIdentity,
        files: DemoFiles,
        stats: DemoStats,
        on_event: Callable[[EventData], None],
        on_snapshot: Callable[[SnapshotHeader, Path], None],
        clock_ns: Callable[[], int],
        rng: random.Random,
    ) -> None:
        """Open the files. Raises: UserError if one cannot be opened."""
        self._files = files
        self._stats = stats
        self._on_event = on_event
        self._on_snapshot = on_snapshot
        self._seen_ids: set[str] = set()
        self.public_key: str | None = None
        """The box's public key, from its birth message."""
        self._event_kinds: dict[str, str] = {}
        self._message_file = files.messages.open("wb", buffering=0)
        self._store = CentreStore.open(files.state / "centre.sqlite")
        self._client = CentreClient(
            broker,
            self._on_message,
            rng,
            clock_ns,
            centre=ActingCentre(store=self._store, identity=identity),
        )
        self._thread = StageThread(self._client, clock_ns, rng, vital=False)

    def start(self, timeout_s: float) -> bool:
        """Start, and wait until it is subscribed. Return False on a timeout."""
        self._thread.start()
        return self._client.online.wait(timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Stop the thread and close the files."""
        self._thread.stop()
        self._thread.join(timeout_s)
        self._store.close()
        self._message_file.close()

    def _on_message(self, received: ReceivedMessage) -> None:
        """Process a message, unless it is a repeat, which QoS 1 allows."""
        message = received.message
        if message is None or message.id in self._seen_ids:
            return
        self._seen_ids.add(message.id)
        self._message_file.write(to_json_line(received) + b"\n")
        self._stats.count_message()
        if isinstance(message, EventMessage):
            self._event_kinds[message.data.event] = message.data.kind
            self._stats.add_event(message.data)
            self._on_event(message.data)
        elif isinstance(message, StatusMessage) and isinstance(message.data, OnlineStatus):
            self.public_key = message.data.public_key
        elif isinstance(message, HealthMessage):
            self._stats.set_health(message.data)
        elif isinstance(message, SnapshotHeader):
            self._save_snapshot(message, received.payload)

    def _save_snapshot(self, header: SnapshotHeader, jpeg: bytes) -> None:
        kind = self._event_kinds.get(header.data.event or "", "snapshot")
        number = self._stats.count_snapshot()
        name = f"{number:03d}-{kind.replace('_', '-')}.jpg"
        path = self._files.snapshots / name
        path.write_bytes(jpeg)
        self._on_snapshot(header, path)


class Scenario(Protocol):
    """Scenario of a demo: a video of a street, or a pan-tilt head in a rendered street."""

    title: str
    config: Config
    source: CameraSource
    specs: ActuatorSpecs

    def start(self, agent: Agent) -> None:
        """Prepare the run. Called before `agent` is started. Raises: UserError."""
        ...

    def on_frame_result(self, frame: Frame, result: FrameResult) -> None:
        """Handle a processed frame. Called on the detect thread."""
        ...

    def on_event(self, event: EventData) -> None:
        """Handle an event that the centre has received. Called on the centre's thread."""
        ...

    def on_snapshot(self, header: SnapshotHeader, path: Path) -> None:
        """Handle a snapshot that the centre has stored. Called on the centre's thread."""
        ...

    def advance(self, *, draining: bool) -> None:
        """Process what has arrived. Unless `draining`, also do what is due."""
        ...

    def is_over(self) -> bool:
        """Return whether the scenario has reached its end."""
        ...

    def screen(self, stats: StatsView) -> ScreenContent:
        """Return the current moment."""
        ...

    def finish(self, public_key: str | None) -> VideoDemoResult | PtzDemoResult:
        """Return the result, after the agent has stopped. `public_key` is the box's."""
        ...

    def close(self) -> None:
        """Release threads and devices. May be called at any time."""
        ...


ScenarioFactory = Callable[[DemoFiles, str, DemoAuthority, Clock, Console], Scenario]
"""Takes the files, the broker's URL, the control authority, the clock, and the console for progress messages."""


def run_demo(open_scenario: ScenarioFactory, out: Path, console: Console) -> DemoSummary:
    """Play a scenario through the complete agent and show it.

    Raises: UserError or DriverError if an option cannot be used.
    """
    files = DemoFiles(out)
    clock = SystemClock()
    authority = DemoAuthority(files.control_ca, clock.utc(clock.boottime_ns()))
    with (
        closing(files),
        redirect_logs(files.log),
        run_broker(files.state) as broker_url,
        closing(open_scenario(files, broker_url, authority, clock, console)) as scenario,
        # Only now: Ctrl-C while a video is fetched ends the program, later it ends the scenario.
        StopSignals() as signals,
    ):
        return _DemoRun(scenario, files, authority, clock).run(console, signals)


class _DemoRun:
    def __init__(
        self, scenario: Scenario, files: DemoFiles, authority: DemoAuthority, clock: Clock
    ) -> None:
        self._scenario = scenario
        self._files = files
        self._clock = clock
        self._stats = DemoStats()
        rng = random.Random()  # noqa: S311 - jitter, not secrets
        self._agent = Agent(
            StartConfig(config=scenario.config, sources=(scenario.source,), specs=scenario.specs),
            clock,
            rng,
            notifier=Notifier({}),
        )
        for pipeline in self._agent.pipelines:
            pipeline.frame_listeners.append(self._on_frame_result)
        self._centre = DemoCentre(
            scenario.config.broker,
            authority.identity(DEFAULT_CENTRE, "centre"),
            files,
            self._stats,
            scenario.on_event,
            scenario.on_snapshot,
            clock.boottime_ns,
            rng,
        )

    def run(self, console: Console, signals: StopSignals) -> DemoSummary:
        scenario, agent = self._scenario, self._agent
        if not self._centre.start(CONNECT_TIMEOUT_S):
            raise UserError(f"demo: the broker at {scenario.config.broker.url} does not answer")
        scenario.start(agent)
        agent.start()
        start_ns = self._clock.boottime_ns()
        with open_display(console) as show:
            interrupted = self._show_until_over(show, signals)
            duration_s = (self._clock.boottime_ns() - start_ns) / 1e9
            self._drain(show, signals)
        agent.stop()
        self._centre.stop(_DRAIN_TIMEOUT_S)
        (pipeline,) = agent.pipelines
        return DemoSummary(
            title=scenario.title,
            duration_s=duration_s,
            result=scenario.finish(self._centre.public_key),
            stats=self._stats.view(),
            footage=pipeline.record_stage.footage_health() if pipeline.record_stage else None,
            faults=agent.faults.active(),
            unacked_messages=agent.outbox.depth,
            interrupted=interrupted,
            files=self._files,
        )

    def _show_until_over(self, show: Callable[[ScreenContent], None], signals: StopSignals) -> bool:
        """Return whether a stop signal ended the scenario."""
        while not self._scenario.is_over():
            self._scenario.advance(draining=False)
            show(self._scenario.screen(self._stats.view()))
            if signals.wait(_REFRESH_S):
                return True
        return False

    def _drain(self, show: Callable[[ScreenContent], None], signals: StopSignals) -> None:
        """Wait until every message is acknowledged, or for the drain time."""
        deadline_ns = self._clock.boottime_ns() + round(_DRAIN_TIMEOUT_S * 1e9)
        is_drained = False
        while not is_drained:
            is_drained = (
                self._agent.outbox.depth == 0
                or self._clock.boottime_ns() >= deadline_ns
                or signals.wait(_REFRESH_S)
            )
            self._scenario.advance(draining=True)
            show(self._scenario.screen(self._stats.view()))

    def _on_frame_result(self, frame: Frame, result: FrameResult) -> None:
        self._stats.add_frame(result)
        self._scenario.on_frame_result(frame, result)


@contextmanager
def open_display(console: Console) -> Iterator[Callable[[ScreenContent], None]]:
    """Yield a function that shows a moment: on a live screen, or as the lines that are new."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, screen=True) as live:

            def draw(content: ScreenContent) -> None:
                size = console.size
                live.update(render_screen(content, size.width, size.height), refresh=True)

            yield draw
        return
    new_lines = NewLines()

    def print_new(content: ScreenContent) -> None:
        for text in new_lines(content):
            console.print(Text(text), soft_wrap=True)

    yield print_new


@contextmanager
def redirect_logs(path: Path) -> Iterator[None]:
    """Write log records, and what native libraries print to standard error, to `path`.

    Otherwise they would be printed over the live screen.
    """
    log = path.open("a", encoding="utf-8", buffering=1)
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    previous_level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    saved_stderr_fd = os.dup(_STDERR_FD)
    os.dup2(log.fileno(), _STDERR_FD)
    try:
        yield
    finally:
        os.dup2(saved_stderr_fd, _STDERR_FD)
        os.close(saved_stderr_fd)
        root.removeHandler(handler)
        root.setLevel(previous_level)
        log.close()
