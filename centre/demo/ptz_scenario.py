"""Scenario of the demo with a head: a street all around, a guard tour, and two operators."""

import json
import queue
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any, TypeAlias

import cv2
import msgspec
from rich.console import Console

from agent.app.agent import Agent
from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.health_model import HeadHealth
from agent.base.model import FrameResult, Reply
from agent.capture.camera_source import CameraSource, build_sources
from agent.config import configuration
from agent.config.configuration import Config
from agent.config.heads import FieldOfView
from agent.config_change.actuator_specs import load_actuator_specs
from agent.ptz.motion.field_of_view import horizontal_fov_deg
from agent.ptz.preset_store import Preset, PresetStore
from agent.ptz.ptz_args import PtzResult
from agent.reporting.payloads import EventData, SnapshotHeader
from agent.runtime.stage import StageThread
from centre.demo.demo import CONNECT_TIMEOUT_S
from centre.demo.demo_authority import DemoAuthority
from centre.demo.demo_operator import DemoOperator
from centre.demo.files import DemoFiles
from centre.demo.ptz_devices import HeadMountedStreetCamera, SimulatedHead
from centre.demo.ptz_log import PtzLog
from centre.demo.ptz_screen import PtzDemoState, ptz_screen
from centre.demo.ptz_script import PRESETS, SCRIPT, PtzScript, ScriptRunner
from centre.demo.screen import ScreenContent
from centre.demo.stats import StatsView
from centre.demo.summary import PtzDemoResult
from centre.demo.video_source import SCENES_FOLDER
from centre.preset_page import PANORAMA_NAME, PRESETS_NAME
from drivers.contracts import Camera, StreamRequest
from drivers.media import Frame
from drivers.transcoding import open_transcoded
from drivers.visca_options import Options
from simulation.heads.head_simulator import HeadSimulator
from simulation.surround.surround_renderer import SurroundRenderer

_STOP_TIMEOUT_S = 10.0


def write_config(files: DemoFiles, broker_url: str, script: PtzScript) -> Config:
    """Write the configuration that a technician would write, and load it as the agent does."""
    files.scenes.mkdir()
    for preset in PRESETS:
        name = f"ptz_{preset}.toml"
        shutil.copyfile(SCENES_FOLDER / name, files.scenes / name)
    port_path = (files.state / "head-port").absolute()
    text = Template((SCENES_FOLDER / "ptz.toml").read_text(encoding="utf-8")).substitute(
        broker=broker_url,
        control_ca=_escape_toml(files.control_ca.absolute()),
        port=_escape_toml(port_path),
        lease_s=script.lease_s,
        dwell_s=script.dwell_s,
    )
    files.config.write_text(text, encoding="utf-8")
    return configuration.load(files.config)


def visca_options(config: Config) -> Options:
    """Return the driver's options of the head."""
    (head,) = config.head
    return msgspec.convert(head.options, Options)


def build_camera_source(
    config: Config, clock: Clock, head_motion: HeadSimulator, street: "RenderedStreet"
) -> CameraSource:
    """Return the camera, whose view follows the simulated head, encoded as a camera would."""
    (source,) = build_sources(config, clock, "demo")
    fov = config.head[0].fov_deg or FieldOfView(wide=60, tele=60)

    def open_frames(wanted: StreamRequest) -> Camera:
        return HeadMountedStreetCamera(
            street.painter,
            street.size_px,
            street.fps,
            head_motion,
            fov,
            wanted,
            clock.boottime_ns,
        )

    def open_main(wanted: StreamRequest) -> Camera:
        return open_transcoded(f"camera {source.config.name!r}", open_frames, wanted)

    return msgspec.structs.replace(source, open_main=open_main)


class RenderedStreet:
    """The rendered street in the configured size and frame rate. Opening takes some seconds."""

    def __init__(self, config: Config) -> None:
        options: dict[str, Any] = config.camera[0].options
        self.size_px: tuple[int, int] = (options["width_px"], options["height_px"])
        self.fps = float(options["fps"])
        self.painter = SurroundRenderer(*self.size_px)


def _escape_toml(path: Path) -> str:
    """Escape a path for a TOML basic string, which escapes as JSON does."""
    return json.dumps(str(path), ensure_ascii=False)[1:-1]


def write_preset_views(
    files: DemoFiles, presets: Sequence[Preset], street: SurroundRenderer, fov: FieldOfView
) -> None:
    """Write the folder that `vigie scene edit` reads: pictures, scenes and the panorama.

    Writes nothing if no preset is stored. Raises: UserError.
    """
    if not presets:
        return
    folder = files.presets
    try:
        folder.mkdir()
        (folder / PRESETS_NAME).write_bytes(msgspec.json.encode(PtzResult(presets=tuple(presets))))
        for preset in presets:
            pose = preset.pose
            fov_deg = horizontal_fov_deg(fov, pose.zoom or 0.0)
            picture = street.render(pose.pan_deg, pose.tilt_deg, fov_deg, 0.0)
            cv2.imwrite(str(folder / f"{preset.name}.jpg"), picture)
            scene = files.scenes / f"ptz_{preset.name}.toml"
            if scene.exists():
                shutil.copyfile(scene, folder / f"{preset.name}.toml")
        if files.panorama.exists():
            shutil.copyfile(files.panorama, folder / PANORAMA_NAME)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from error


class PtzOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The script, and after how many seconds from the head's first answer to end before its end."""

    duration_s: float | None = None
    script: PtzScript = SCRIPT


class _ReceivedSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    header: SnapshotHeader
    path: Path


_InboxItem: TypeAlias = Reply | EventData | _ReceivedSnapshot


class PtzScenario:
    """Moves a simulated head by commands over MQTT. Only `_enqueue` is called on other threads."""

    title = "pan-tilt head"

    def __init__(
        self,
        options: PtzOptions,
        files: DemoFiles,
        broker_url: str,
        authority: DemoAuthority,
        clock: Clock,
        console: Console,
    ) -> None:
        """Write the configuration and render the street, which takes some seconds."""
        self._options = options
        self._files = files
        self._clock = clock
        self.config = write_config(files, broker_url, options.script)
        console.print("Rendering a street all around the pole ...", highlight=False)
        street = self._street = RenderedStreet(self.config)
        console.print(
            "On the pole: a camera on a pan-tilt head, connected by a serial line (a "
            "pseudo-terminal) and VISCA. Below is what the box reports over MQTT.",
            highlight=False,
            soft_wrap=True,
        )
        self._simulated_head = SimulatedHead(visca_options(self.config), clock.boottime_ns)
        self.source = build_camera_source(self.config, clock, self._simulated_head.motion, street)
        self.specs = load_actuator_specs(self.config, clock, "demo")
        self._log = PtzLog()
        self._script_runner = ScriptRunner(options.script)
        self._inbox: queue.SimpleQueue[tuple[float, _InboxItem]] = queue.SimpleQueue()
        self._snapshots: dict[str, Path] = {}
        rng = random.Random()  # noqa: S311 - jitter, not secrets
        self._operator = DemoOperator(
            self.config.broker, self.config.box.id, authority, self._enqueue, clock, rng
        )
        self._operator_thread = StageThread(self._operator, clock.boottime_ns, rng, vital=False)
        self._start_ns = clock.boottime_ns()
        self._first_answer_s: float | None = None

    def start(self, agent: Agent) -> None:
        """Connect the operators. Raises: UserError if the broker does not answer."""
        self._agent = agent
        self._operator_thread.start()
        if not self._operator.online.wait(CONNECT_TIMEOUT_S):
            raise UserError(f"demo: the broker at {self.config.broker.url} does not answer")
        self._start_ns = self._clock.boottime_ns()

    def on_frame_result(self, frame: Frame, result: FrameResult) -> None:
        """Ignore the frame: it is only counted."""

    def on_event(self, event: EventData) -> None:
        """Enqueue the event."""
        self._enqueue(event)

    def on_snapshot(self, header: SnapshotHeader, path: Path) -> None:
        """Enqueue the snapshot."""
        self._enqueue(_ReceivedSnapshot(header=header, path=path))

    def advance(self, *, draining: bool) -> None:
        """Log what has arrived. Unless `draining`, send the script's command that is due."""
        self._process_inbox()
        head = self._head()
        if head.open and self._first_answer_s is None:
            self._first_answer_s = self._now_s()
        if self._log.update_head(self._now_s(), head):
            self._script_runner.on_tour_stop()
        if not draining:
            self._send_due_step(head)

    def is_over(self) -> bool:
        """Return whether the script or the time has ended."""
        t_s, duration_s, begin_s = self._now_s(), self._options.duration_s, self._first_answer_s
        is_time_over = (
            duration_s is not None and begin_s is not None and t_s - begin_s >= duration_s
        )
        return is_time_over or self._script_runner.is_over(t_s)

    def screen(self, stats: StatsView) -> ScreenContent:
        """Return the current moment."""
        (pipeline,) = self._agent.pipelines
        active = None if pipeline.active_scene is None else pipeline.active_scene.current()
        config = self.config.head[0]
        state = PtzDemoState(
            t_s=self._now_s(),
            stats=stats,
            head=self._head(),
            lease=self._log.lease,
            rules_active=active is not None and active.scene is not None,
            scene_preset=None if active is None else active.preset,
            log_lines=tuple(self._log.lines),
            preset_pans_deg={
                name: PRESETS[name][0] for name in self._log.milestones.stored_presets
            },
            forbidden=config.forbidden,
            fov=config.fov_deg or FieldOfView(wide=60, tele=60),
            head_text=f"'{config.name}', {config.driver.upper()} at {config.options['baud']} baud",
            broker_url=self.config.broker.url,
        )
        return ptz_screen(state)

    def finish(self, public_key: str | None) -> PtzDemoResult:
        """Write the folder of the presets, and return the milestones."""
        (head,) = self.config.head
        store = PresetStore(head.name, self._files.state / "heads" / head.name / "presets.json")
        fov = head.fov_deg or FieldOfView(wide=60, tele=60)
        write_preset_views(self._files, store.all(), self._street.painter, fov)
        return PtzDemoResult(milestones=self._log.milestones)

    def close(self) -> None:
        """Stop the operators and disconnect the head."""
        self._operator_thread.stop()
        self._operator_thread.join(_STOP_TIMEOUT_S)
        self._simulated_head.close()

    def _head(self) -> HeadHealth:
        (head,) = self._agent.actuators.head_health()
        return head

    def _send_due_step(self, head: HeadHealth) -> None:
        step = self._script_runner.next_step(self._now_s(), head)
        if step is None:
            return
        args = step.args
        if step.with_token:
            args = args | {"token": self._log.lease_token(step.person)}
        command_id = self._operator.send_command(step.person, step.verb, args)
        self._log.add_command(self._now_s(), command_id, step)

    def _process_inbox(self) -> None:
        while not self._inbox.empty():
            t_s, item = self._inbox.get()
            match item:
                case EventData():
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
            self._snapshots[data.original_sha256 or data.sha256] = snapshot.path
            self._log.add_snapshot(t_s, snapshot.path)
            self._save_panorama(t_s)

    def _save_panorama(self, t_s: float) -> None:
        """Copy the panorama once both its snapshot and the reply that names it have arrived."""
        path = self._snapshots.pop(self._log.panorama_sha256 or "", None)
        if path is not None:
            shutil.copyfile(path, self._files.panorama)
            self._log.add_panorama(t_s, self._files.panorama)

    def _enqueue(self, item: _InboxItem) -> None:
        self._inbox.put((self._now_s(), item))

    def _now_s(self) -> float:
        return (self._clock.boottime_ns() - self._start_ns) / 1e9
