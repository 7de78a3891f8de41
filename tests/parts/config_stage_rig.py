"""A box whose configuration the tests change: its files, its clock, and the agent's part of the stage."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.authority.control_authority import ControlAuthority
from agent.authority.signed_message import SigningIdentity, sign_message
from agent.base.health_model import DetectorHealth
from agent.config.desired_store import ConfigLayer, DesiredStore
from agent.config.recording import FootageRules
from agent.config_change import config_stage
from agent.config_change.config_stage import ConfigActions, ConfigStage
from agent.config_change.delivered_models import EndFetch, FetchedModels, ReportFetch
from agent.config_change.desired_message import MESSAGE_TYPE
from agent.config_change.second_signature import PreviewEviction
from agent.config_change.start_config import StartConfig, load_start_config
from agent.detection.scene import Scene
from agent.faults.registry import FaultRegistry
from agent.health.box_check import BoxSample
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import ReceiptBody, ServiceAction
from agent.recording.retention.eviction_plan import EvictionPreview
from agent.rehearsal.rehearsal_stage import RehearsalSettings, RehearsalStage
from agent.reporting.payloads import ReportedConfig
from drivers.errors import MaskError
from tests.authority_rig import ControlKeys
from tests.conftest import ManualClock
from tests.parts.test_boot_check import camera, live
from tests.pole_config import POLE_CONFIG

CONFIG = f"{POLE_CONFIG}[camera.detect]\nenabled = false\n"
MASK = "[[mask]]\npolygon = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]\n"
LINE = '[[line]]\nname = "a"\nfrom = [0, 0.5]\nto = [1, 0.5]\n'
BOOT = "boot-1"


class Pole:
    """A box with its files, its clock and what can be seen of it; the agent is started as often as one likes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "vigie.toml"
        self.path.write_text(CONFIG)
        self.clock = ManualClock()
        self.boot = BOOT
        self.store = DesiredStore(folder / "state")
        self.scenes: list[Scene] = []
        self.authority: ControlAuthority | None = None
        self._receipts: list[str] = []
        faults = FaultRegistry(self.clock.boottime_ns)
        self._receipt_queue = ReceiptQueue(self._append_receipt, faults)
        self.restarts = 0
        self.kept = 0
        self.has_manager = True
        self.reports = 0
        self.works = True
        self.cameras = {"north": True}
        """Whether each camera is open."""
        self.has_health = True
        self.size = 0
        self.mask_error: str | None = None
        self.on_mask_error: Callable[[], object] = lambda: None
        self.preview_eviction: PreviewEviction = lambda _rules: EvictionPreview()
        self.fetches: list[tuple[ConfigLayer, Callable[[FetchedModels], None]]] = []
        self.report_fetch: ReportFetch | None = None
        self.ended_fetches = 0
        self.detects_with: str | None = None
        self.report_age_s = 0.0
        self.start()

    def start(self) -> StartConfig:
        self.started = load_start_config(self.path, self.clock, self.boot)
        actions = ConfigActions(
            authority=self.authority,
            receipts=self._receipt_queue,
            starts_again=self.has_manager,
            stop_agent=self._restart,
            replace_scenes=self._replace_scenes,
            keep=self._keep,
            take_sample=self._sample,
            stored_presets=dict,
            preview_eviction=self._preview,
            report=self._report,
            fetch_models=self._fetch_models,
        )
        settings = RehearsalSettings(
            state_dir=self.path.parent / "state", box="pole-17", time_zone="UTC"
        )
        self.rehearsals = RehearsalStage(
            settings, self.clock, lambda _request, _camera: None, lambda: None
        )
        self.stage = ConfigStage(
            self.path, self.started, self.clock, self.boot, actions, self.rehearsals
        )
        return self.started

    def send(self, version: int, **fields: Any) -> ReportedConfig:
        """The centre publishes a version; what the box reports after it has decided."""
        return self._take(version, fields, is_retained=False)

    def redeliver(self, version: int, **fields: Any) -> ReportedConfig:
        """The broker delivers the version that it has retained, at a connection."""
        return self._take(version, fields, is_retained=True)

    def _take(self, version: int, fields: dict[str, Any], *, is_retained: bool) -> ReportedConfig:
        message = {"box": "pole-17", "version": version, "by": "amina", "role": "supervisor"}
        payload = msgspec.json.encode({**message, **fields})
        self.stage.submit(payload, is_retained=is_retained)
        self.turn()
        return self.stage.reported()

    def turn(self) -> None:
        self.stage.run_once(threading.Event())

    def live_s(self, seconds: float) -> ReportedConfig:
        for _ in range(int(seconds)):
            self.clock.advance_s(1)
            self.turn()
        return self.stage.reported()

    def reasons(self) -> tuple[str, ...]:
        refused = self.stage.reported().refused
        return () if refused is None else refused.reasons

    @property
    def receipts(self) -> list[str]:
        """The actions in the custody log, each with its person."""
        self._receipt_queue.flush()
        return self._receipts

    def _append_receipt(self, body: ReceiptBody, _t_ns: int) -> None:
        assert isinstance(body, ServiceAction)
        self._receipts.append(f"{body.by}: {body.action}")

    def _replace_scenes(self, new: StartConfig) -> None:
        if self.mask_error is not None:
            error, self.mask_error = self.mask_error, None
            self.on_mask_error()
            raise MaskError(error)
        self.scenes.append(new.sources[0].scene)

    def _fetch_models(
        self, layer: ConfigLayer, report: ReportFetch, on_done: Callable[[FetchedModels], None]
    ) -> EndFetch:
        self.fetches.append((layer, on_done))
        self.report_fetch = report
        return self._end_fetch

    def _end_fetch(self) -> None:
        self.ended_fetches += 1

    def _restart(self) -> None:
        self.restarts += 1

    def _preview(self, rules: FootageRules) -> EvictionPreview:
        return self.preview_eviction(rules)

    def _keep(self) -> None:
        self.kept += 1

    def _report(self) -> None:
        self.reports += 1

    def _sample(self) -> BoxSample:
        self.size += self.works
        age_s = 0.1 if self.works else 60
        cameras = [
            camera(name, is_open=is_open, age_s=age_s if is_open else None)
            for name, is_open in self.cameras.items()
        ]
        detectors = [
            DetectorHealth(
                camera="north",
                model=self.detects_with,
                inferences_per_s=1.0,
                inference_ms=None,
                tracks=0,
            )
        ]
        health = live(self.clock.now_ns / 1e9 - self.report_age_s, cameras, detectors)
        return BoxSample(
            t_ns=self.clock.now_ns,
            health=health if self.has_health else None,
            newest_files={
                name: f"1.mp4 {self.size}" for name, is_open in self.cameras.items() if is_open
            },
        )


class SignedPole(Pole):
    """A box with a control authority, where a technician for the east may configure one camera alone."""

    def __init__(self, folder: Path, keys: ControlKeys) -> None:
        self.keys = keys
        super().__init__(folder)
        ca = keys.write_ca(folder)
        permission = '[[control.permission]]\nrole = "operator"\nactions = ["configure"]\n'
        self.path.write_text(
            f'{CONFIG}[control]\nca = "{ca.name}"\n{permission}cameras = ["north"]\n'
        )
        self.authority = keys.load(folder, self.clock)
        self.start()

    def sign(self, version: int, *people: SigningIdentity, **fields: Any) -> None:
        """People sign a version, and the box decides about it."""
        claims = {"box": "pole-17", "version": version, **fields}
        self.stage.submit(sign_message(claims, MESSAGE_TYPE, *people), is_retained=False)
        self.turn()


def skip_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns of the stage return at once: each has its message or its time before."""
    monkeypatch.setattr(config_stage, "CHECK_INTERVAL_S", 0)
    monkeypatch.setattr(config_stage, "IDLE_WAIT_S", 0)
