"""The box that the console's commands ask, as it really is: see `agent.console.results.Box`."""

import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from agent import __version__
from agent.app import config_check
from agent.base.clock import Clock, ClockTrust, rfc3339
from agent.base.device_identity import DeviceIdentity
from agent.base.model import Reply
from agent.capture.preview import PreviewUnavailable, request_preview
from agent.commands.local_command import send_command
from agent.config import toml_writer
from agent.config.configuration import Config
from agent.config.shareable_config import redact_config
from agent.config.toml_decode import read_toml
from agent.console import (
    camera_preview,
    console_settings,
    machine_checks,
    modem_checks,
    mqtt_ping,
    network_checks,
    ports_and_pins,
    system_commands,
    usb_export,
)
from agent.console.commissioning import ConsoleCommissioning
from agent.console.config_editor import ConfigEditor
from agent.console.console_settings import ConsoleSettings
from agent.console.enrolment import Enrolment
from agent.console.errors import ConsoleError
from agent.console.results import (
    AgentState,
    CameraPreview,
    CheckResult,
    CommissioningItem,
    FaultDescription,
    FootageSpan,
    HoldInfo,
    ItemVerdict,
    PinInfo,
    PortInfo,
    ProgressCallback,
    SelfTestStepInfo,
)
from agent.console.update_client import UpdateClient
from agent.faults import texts as fault_texts
from agent.faults.registry import FAULTS
from agent.faults.texts import FaultTexts
from agent.health import health_file
from agent.recording.archive import FootageArchive
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import FootageViewed, ServiceAction
from agent.runtime import control_socket
from drivers.contracts import CameraReadings

REBOOT_REQUEST_FILE = "reboot"
INVALID_CONFIG = "the configuration is not good: config check says why"


class BoxAccess:
    """One box. One thread uses it."""

    version = __version__

    def __init__(self, settings: ConsoleSettings, clock: Clock, boot_id: str) -> None:
        self.technician = "nobody"
        self._settings = settings
        self._clock = clock
        self._boot_id = boot_id
        self._fault_texts: FaultTexts | None = None
        self._custody_log: CustodyLog | None = None
        self.config_editor = ConfigEditor(
            settings.path, clock, boot_id, lambda: self.state_dir, self._reload_settings
        )
        self.update_client = UpdateClient(Path("/"))

    def _reload_settings(self) -> None:
        self._settings = console_settings.read(self.config_path)
        self._fault_texts = None

    @property
    def id(self) -> str:
        """As the configuration says, or as much of it as can be read."""
        return self._settings.box_id

    @property
    def site(self) -> str:
        """The same."""
        return self._settings.site

    @property
    def config(self) -> Config | None:
        """As it was when the console began, or has changed it."""
        return self._settings.config

    @property
    def config_path(self) -> Path:
        """Its file."""
        return self._settings.path

    @property
    def state_dir(self) -> Path:
        """The state folder."""
        return self._settings.state_dir

    def check_config(self, *, full: bool = False) -> str | None:
        """What is wrong with it now."""
        return config_check.find_problem(self.config_path, self._clock, deep=full)

    def agent_state(self) -> AgentState:
        """From the health file, and from whether the agent's door is open."""
        now_ns = self._clock.boottime_ns()
        health = health_file.read(health_file.get_runtime_dir(self.state_dir), self._boot_id)
        if health is None:
            return AgentState(
                state="hangs" if control_socket.find_agent(self.state_dir) is not None else "dead"
            )
        age_s = health.age_s(now_ns)
        if not health.is_stale(now_ns):
            return AgentState(state="runs", report_age_s=age_s, report=health.report)
        state: Literal["hangs", "dead"] = (
            "hangs" if control_socket.find_agent(self.state_dir) is not None else "dead"
        )
        return AgentState(state=state, report_age_s=age_s, report=health.report)

    def describe_fault(self, code: str) -> FaultDescription | None:
        """In the console's language."""
        texts = self._fault_texts = self._fault_texts or fault_texts.load_texts(
            self._settings.console.language
        )
        found = next((known for known in FAULTS if known == code), None)
        if found is None:
            return None
        text = texts.faults[found]
        return FaultDescription(
            code=code,
            severity=texts.headings.severity_name(FAULTS[found].severity),
            title=text.title,
            meaning=text.means,
            advice=text.at_box,
            centre_advice=text.at_centre,
        )

    def fault_codes(self) -> tuple[str, ...]:
        """All there are."""
        return tuple(sorted(FAULTS))

    def now(self) -> datetime:
        """UTC."""
        return self._clock.utc(self._clock.boottime_ns())

    def now_ns(self) -> int:
        """Boot time."""
        return self._clock.boottime_ns()

    def clock_trust(self) -> ClockTrust:
        """How far UTC can be trusted."""
        return self._clock.trust()

    def write_receipt(self, action: str) -> None:
        """A receipt of what the technician does."""
        self._append_receipt(ServiceAction(by=self.technician, action=action))

    def _append_receipt(self, body: ServiceAction | FootageViewed) -> None:
        try:
            self._open_custody_log().append(body, self._clock.boottime_ns())
        except OSError as error:
            raise ConsoleError(str(error.strerror or error)) from error

    def _open_custody_log(self) -> CustodyLog:
        """Opened when it is needed first: a disk that is gone must not keep the console away."""
        if self._custody_log is None:
            identity = DeviceIdentity.load_or_create(self.state_dir / "identity")
            self._custody_log = CustodyLog.open(
                self.state_dir / "custody", self.id, self._boot_id, self._clock, identity
            )
        return self._custody_log

    def send_command(self, verb: str, args: object, timeout_s: float) -> Iterator[Reply]:
        """Through the agent's own door."""
        try:
            replies = send_command(self.state_dir, verb, args, timeout_s)
        except OSError as error:
            raise ConsoleError(f"the agent's door: {error.strerror or error}") from error
        if replies is None:
            raise ConsoleError("the agent does not run: check 5 tells more")
        return replies

    def check_board(self) -> tuple[CheckResult, ...]:
        """The board."""
        return self._with_advice(machine_checks.check_board())

    def check_disk(self) -> CheckResult:
        """The state folder's."""
        return self._with_advice((machine_checks.check_disk(self.state_dir),))[0]

    def check_custody_log(self) -> CheckResult:
        """Of custody."""
        try:
            log, problem = self._open_custody_log(), None
        except OSError as error:
            log, problem = None, str(error)
        return self._with_advice((machine_checks.check_custody_log(log, problem),))[0]

    def camera_names(self) -> tuple[str, ...]:
        """Of the configuration."""
        return () if self.config is None else tuple(camera.name for camera in self.config.camera)

    def open_preview(self, camera: str) -> CameraPreview:
        """Who looks is in the chain before he sees anything."""
        config = self._require_config()
        institution = next(
            configured.institution for configured in config.camera if configured.name == camera
        )
        if institution is not None and not institution.can_view(self.technician):
            raise ConsoleError(
                f"camera {camera} is lent by {institution.owner}, who does not name {self.technician}"
            )
        viewed_at = rfc3339(self.now())
        purpose = "looked through it at the box's console"
        self._append_receipt(
            FootageViewed(
                camera=camera,
                begin_time=viewed_at,
                end_time=viewed_at,
                by=self.technician,
                purpose=purpose,
            )
        )
        try:
            first_frame = request_preview(self.state_dir, camera, self.technician)
        except PreviewUnavailable as error:
            raise ConsoleError(str(error)) from error
        if first_frame is not None:
            return camera_preview.AgentPreview(
                self.state_dir,
                camera,
                self.technician,
                first_frame,
                lambda: self._camera_readings(camera),
            )
        if self.agent_state().state != "dead":
            raise ConsoleError("the agent is there, holds the camera and shows nothing: check 5")
        return camera_preview.open_direct(config, camera, self._clock, str(self.config_path))

    def _camera_readings(self, camera: str) -> CameraReadings | None:
        report = self.agent_state().report
        cameras = report.cameras if report else ()
        return next((health.readings for health in cameras if health.name == camera), None)

    def check_interfaces(self) -> tuple[CheckResult, ...]:
        """Interfaces."""
        return self._with_advice(network_checks.check_interfaces())

    def check_modem(self) -> tuple[CheckResult, ...]:
        """As ModemManager tells."""
        return self._with_advice(modem_checks.check_modem())

    def check_dns(self) -> CheckResult:
        """DNS."""
        return self._with_advice((network_checks.check_dns(self._require_config().broker),))[0]

    def check_clock(self) -> CheckResult:
        """NTP."""
        return self._with_advice((network_checks.check_clock(self._clock),))[0]

    def check_certificates(self) -> tuple[CheckResult, ...]:
        """Files."""
        broker = self._require_config().broker
        return self._with_advice(network_checks.check_certificates(broker, self.id, self.now()))

    def check_broker(self) -> tuple[CheckResult, ...]:
        """TCP and TLS."""
        return self._with_advice(
            network_checks.check_broker(self._require_config().broker, self._clock)
        )

    def ping_broker(self, count: int) -> Iterator[CheckResult]:
        """MQTT."""
        broker, agent_state = self._require_config().broker, self.agent_state()
        report = agent_state.report if agent_state.state == "runs" else None
        connected = report is not None and report.outbox.connected
        if report is not None and connected and broker.certificate is not None:
            link = report.link
            return iter(
                (mqtt_ping.agent_session_result(None if link is None else link.round_trip_ms),)
            )
        results = mqtt_ping.ping(broker, self.id, count, self._clock, agent_connected=connected)
        return (self._with_advice((result,))[0] for result in results)

    def list_serial_ports(self) -> tuple[PortInfo, ...]:
        """Serial ports; those of the configuration that are not there too."""
        return ports_and_pins.list_serial_ports(self.config)

    def list_pins(self) -> tuple[PinInfo, ...]:
        """Of the configuration; how they stand is the agent's to tell."""
        agent_state = self.agent_state()
        health = (
            agent_state.report.pins if agent_state.state == "runs" and agent_state.report else None
        )
        return ports_and_pins.list_pins(self.config, health)

    def list_footage(self, camera: str | None) -> tuple[FootageSpan, ...]:
        """What lies on the disk."""
        return usb_export.list_footage(self._open_archive(), camera)

    def list_holds(self) -> tuple[HoldInfo, ...]:
        """What is held."""
        return usb_export.list_holds(self._open_archive())

    def create_hold(
        self, camera: str, begin: datetime, end: datetime, days: float, reason: str
    ) -> HoldInfo:
        """Keep a span."""
        created = self._open_archive().place_hold(
            camera, begin, end, owner=self.technician, reason=reason, days=days
        )
        return next(hold for hold in self.list_holds() if hold.id == created.id)

    def release_hold(self, hold_id: str, reason: str) -> None:
        """In his name."""
        self._open_archive().release_hold(hold_id, by=self.technician, reason=reason)

    def list_usb_mounts(self) -> tuple[Path, ...]:
        """USB disks."""
        return usb_export.list_usb_mounts()

    def export_footage(
        self,
        camera: str,
        begin: datetime,
        end: datetime,
        reason: str,
        destination: Path,
        progress: ProgressCallback,
    ) -> Sequence[str]:
        """Onto a USB disk."""
        return usb_export.export_footage(
            self._open_archive(),
            (camera, begin, end),
            self.technician,
            reason,
            destination,
            progress,
        )

    def _open_archive(self) -> FootageArchive:
        if self.check_config() is None:
            return FootageArchive.from_config(self.config_path, self._clock)
        return FootageArchive.from_state_dir(self.state_dir, self._clock)

    def read_journal(self, lines: int) -> Sequence[str]:
        """The journal."""
        return system_commands.read_journal(lines)

    def read_config_text(self) -> Sequence[str]:
        """Without secrets."""
        return tuple(
            toml_writer.dumps(
                redact_config(read_toml(self.config_path, "configuration"))
            ).splitlines()
        )

    def create_certificate_request(self) -> str:
        """PEM."""
        return self._enrolment().create_request()

    def install_certificate(self, pem: str) -> Sequence[str]:
        """PEM."""
        return self._enrolment().install(pem, self.now(), clock_synced=self.clock_trust().synced)

    def _enrolment(self) -> Enrolment:
        broker = None if self.config is None else self.config.broker
        return Enrolment(self.state_dir, self.id, broker)

    def run_selftest(self, progress: ProgressCallback) -> Sequence[SelfTestStepInfo]:
        """In this process, beside the agent."""
        # Here, because the whole agent comes with it.
        from agent.diagnostics.selftest.runner import run_selftest  # noqa: PLC0415

        rng = random.Random()  # noqa: S311 - names, no secrets
        report = run_selftest(
            self._require_config(), self._clock, rng, lambda step: progress(f"{step.name} ...")
        )
        return [
            SelfTestStepInfo(name=step.name, ok=step.ok, message=step.message)
            for step in report.steps
        ]

    def run_commissioning(
        self, ask_verdict: Callable[[CommissioningItem], ItemVerdict]
    ) -> Sequence[str]:
        """By the same means as the command line."""
        return ConsoleCommissioning(self.config_path, self._clock, self.technician).run(ask_verdict)

    def compare_with_commissioning(self) -> tuple[str, Sequence[tuple[str, str]]]:
        """The same."""
        return ConsoleCommissioning(self.config_path, self._clock, self.technician).compare()

    def write_support_bundle(self, destination: Path | None, progress: ProgressCallback) -> Path:
        """By the same means as the command line; without a USB disk into the state folder."""
        # Here, because much of the box comes with it.
        from agent.diagnostics.support_bundle import builder  # noqa: PLC0415

        progress("gathering ...")
        bundle = builder.make_bundle(self.config_path, destination or self.state_dir, self._clock)
        os.sync()
        return bundle.path

    def request_reboot(self) -> None:
        """A file asks for it: see systemd/vigie-reboot.path. The console has no right to do it."""
        folder = health_file.get_runtime_dir(self.state_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / REBOOT_REQUEST_FILE).touch()

    def _require_config(self) -> Config:
        if self.config is None:
            raise ConsoleError(INVALID_CONFIG)
        return self.config

    def _with_advice(self, results: Iterable[CheckResult]) -> tuple[CheckResult, ...]:
        """With what the fault's text says to do."""
        advised = []
        for result in results:
            description = None if result.code is None else self.describe_fault(result.code)
            if description is not None and result.ok is False and result.advice is None:
                advised.append(msgspec.structs.replace(result, advice=description.advice))
            else:
                advised.append(result)
        return tuple(advised)
