"""The box that the console's commands ask, as it really is: see `agent.console.results.Box`."""

import os
import random
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from agent import __version__
from agent.app import config_check
from agent.base import unix_socket
from agent.base.clock import Clock, ClockTrust
from agent.base.device_identity import DeviceIdentity
from agent.base.model import Reply
from agent.capture import preview_server
from agent.capture.preview_server import NoPicture
from agent.commands import socket_server
from agent.config.configuration import Config
from agent.config.shareable_config import allowed
from agent.config.strict import read_toml
from agent.config.toml_lines import lines as toml_lines
from agent.console import (
    camera_preview,
    mqtt_ping,
    network_checks,
    ports_and_pins,
    system_commands,
    usb_export,
)
from agent.console import console_settings as reading
from agent.console import machine_checks as machine
from agent.console import modem_checks as modem
from agent.console.commissioning import Commissioning
from agent.console.config_editor import ConfigEditor
from agent.console.console_settings import ConsoleSettings
from agent.console.enrolment import Enrolment
from agent.console.results import (
    AgentState,
    CameraPreview,
    CheckResult,
    CommissioningItem,
    ConsoleError,
    FaultText,
    FootageSpan,
    HoldInfo,
    ItemVerdict,
    PinInfo,
    PortInfo,
    Progress,
    SelfTestStepInfo,
)
from agent.console.update_client import UpdateClient
from agent.faults import texts as fault_texts
from agent.faults.registry import FAULTS
from agent.faults.texts import FaultTexts
from agent.health import health_file
from agent.recording.archive import FootageArchive
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import Serviced, Viewed
from agent.recording.segment_name import rfc3339
from drivers.contracts import CameraReadings

INSTALLED_STATE = Path("/var/lib/vigie")
INSTALLED_RUNTIME = Path("/run/vigie")
REBOOT = "reboot"
BAD_CONFIG = "the configuration is not good: config check says why"


class BoxAccess:
    """One box. One thread uses it."""

    version = __version__

    def __init__(self, settings: ConsoleSettings, clock: Clock, boot: str) -> None:
        self.by = "nobody"
        self._settings = settings
        self._clock = clock
        self._boot = boot
        self._texts: FaultTexts | None = None
        self._custody: CustodyLog | None = None
        self.config_desk = ConfigEditor(
            settings.path, clock, boot, lambda: self.state, self._reread
        )
        self.update_desk = UpdateClient(Path("/"))

    def _reread(self) -> None:
        self._settings = reading.read(self.config_path)
        self._texts = None

    @property
    def id(self) -> str:
        """As the configuration says, or as much of it as can be read."""
        return self._settings.box

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
    def state(self) -> Path:
        """The state folder."""
        return self._settings.state

    def config_problem(self, *, deep: bool = False) -> str | None:
        """What is wrong with it now."""
        return config_check.problem(self.config_path, self._clock, deep=deep)

    def life(self) -> AgentState:
        """From the health file, and from whether the agent's door is open."""
        now_ns = self._clock.boottime_ns()
        live = health_file.read(self._runtime(), self._boot)
        if live is None:
            return AgentState(state="hangs" if self._is_there() else "dead")
        age_s = live.age_s(now_ns)
        if not live.is_stale(now_ns):
            return AgentState(state="runs", age_s=age_s, report=live.report)
        state: Literal["hangs", "dead"] = "hangs" if self._is_there() else "dead"
        return AgentState(state=state, age_s=age_s, report=live.report)

    def _runtime(self) -> Path:
        """A console that a person has started at his own terminal was told of no runtime folder."""
        if "RUNTIME_DIRECTORY" not in os.environ and self.state == INSTALLED_STATE:
            return INSTALLED_RUNTIME
        return health_file.runtime_folder(self.state)

    def _is_there(self) -> bool:
        """Whether a process listens at the agent's door, whether it answers or not."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
            knock.settimeout(1.0)
            try:
                with unix_socket.socket_path(self.state, socket_server.SOCKET) as address:
                    knock.connect(address)
            except OSError:
                return False
        return True

    def fault_text(self, code: str) -> FaultText | None:
        """In the console's language."""
        texts = self._texts = self._texts or fault_texts.texts(self._settings.console.language)
        found = next((known for known in FAULTS if known == code), None)
        if found is None:
            return None
        text = texts.faults[found]
        return FaultText(
            code=code,
            severity=texts.words.of_severity(FAULTS[found].severity),
            title=text.title,
            means=text.means,
            advice=text.at_box,
            at_centre=text.at_centre,
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

    def trust(self) -> ClockTrust:
        """How far UTC can be trusted."""
        return self._clock.trust()

    def note(self, what: str) -> None:
        """A receipt of what the technician does."""
        self._append(Serviced(by=self.by, what=what))

    def _append(self, body: Serviced | Viewed) -> None:
        try:
            self._chain().append(body, self._clock.boottime_ns())
        except OSError as error:
            raise ConsoleError(str(error.strerror or error)) from error

    def _chain(self) -> CustodyLog:
        """Opened when it is needed first: a disk that is gone must not keep the console away."""
        if self._custody is None:
            identity = DeviceIdentity.load_or_make(self.state / "identity")
            self._custody = CustodyLog.open(
                self.state / "custody", self.id, self._boot, self._clock, identity
            )
        return self._custody

    def ask(self, verb: str, args: object, timeout_s: float) -> Iterator[Reply]:
        """Through the agent's own door."""
        try:
            replies = socket_server.ask(self.state, verb, args, timeout_s)
        except OSError as error:
            raise ConsoleError(f"the agent's door: {error.strerror or error}") from error
        if replies is None:
            raise ConsoleError("the agent does not run: check 5 tells more")
        return replies

    def machine(self) -> tuple[CheckResult, ...]:
        """The board."""
        return self._advised(machine.board())

    def disk(self) -> CheckResult:
        """The state folder's."""
        return self._advised((machine.disk(self.state),))[0]

    def chain(self) -> CheckResult:
        """Of custody."""
        try:
            custody, problem = self._chain(), None
        except OSError as error:
            custody, problem = None, str(error)
        return self._advised((machine.chain(custody, problem),))[0]

    def cameras(self) -> tuple[str, ...]:
        """Of the configuration."""
        return () if self.config is None else tuple(one.name for one in self.config.camera)

    def open_eye(self, camera: str) -> CameraPreview:
        """Who looks is in the chain before he sees anything."""
        config = self._good_config()
        lent = next(one.institution for one in config.camera if one.name == camera)
        if lent is not None and not lent.may_see(self.by):
            raise ConsoleError(
                f"camera {camera} is lent by {lent.owner}, who does not name {self.by}"
            )
        at = rfc3339(self.now())
        purpose = "looked through it at the box's console"
        self._append(Viewed(camera=camera, begin_time=at, end_time=at, by=self.by, purpose=purpose))
        try:
            first = preview_server.ask(self.state, camera, self.by)
        except NoPicture as error:
            raise ConsoleError(str(error)) from error
        if first is not None:
            return camera_preview.AgentPreview(
                self.state, camera, self.by, first, lambda: self._readings(camera)
            )
        if self.life().state != "dead":
            raise ConsoleError("the agent is there, holds the camera and shows nothing: check 5")
        return camera_preview.open_own(config, camera, self._clock, str(self.config_path))

    def _readings(self, camera: str) -> CameraReadings | None:
        report = self.life().report
        cameras = report.cameras if report else ()
        return next((one.readings for one in cameras if one.name == camera), None)

    def links(self) -> tuple[CheckResult, ...]:
        """Interfaces."""
        return self._advised(network_checks.links())

    def modem(self) -> tuple[CheckResult, ...]:
        """As ModemManager tells."""
        return self._advised(modem.look())

    def names(self) -> CheckResult:
        """DNS."""
        return self._advised((network_checks.names(self._good_config().broker),))[0]

    def clock_sources(self) -> CheckResult:
        """NTP."""
        return self._advised((network_checks.clock_sources(self._clock),))[0]

    def certificates(self) -> tuple[CheckResult, ...]:
        """Files."""
        broker = self._good_config().broker
        return self._advised(network_checks.certificates(broker, self.id, self.now()))

    def reach_broker(self) -> tuple[CheckResult, ...]:
        """TCP and TLS."""
        return self._advised(network_checks.reach_broker(self._good_config().broker, self._clock))

    def ping_broker(self, times: int) -> Iterator[CheckResult]:
        """MQTT."""
        broker, life = self._good_config().broker, self.life()
        report = life.report if life.state == "runs" else None
        connected = report is not None and report.outbox.connected
        if report is not None and connected and broker.certificate is not None:
            link = report.link
            return iter((mqtt_ping.own_session(None if link is None else link.round_trip_ms),))
        found = mqtt_ping.ping(broker, self.id, times, self._clock, agent_connected=connected)
        return (self._advised((verdict,))[0] for verdict in found)

    def ports(self) -> tuple[PortInfo, ...]:
        """Serial ports; those of the configuration that are not there too."""
        return ports_and_pins.ports(self.config)

    def pins(self) -> tuple[PinInfo, ...]:
        """Of the configuration; how they stand is the agent's to tell."""
        life = self.life()
        health = life.report.pins if life.state == "runs" and life.report else None
        return ports_and_pins.pins(self.config, health)

    def footage(self, camera: str | None) -> tuple[FootageSpan, ...]:
        """What lies on the disk."""
        return usb_export.stretches_told(self._footage(), camera)

    def holds(self) -> tuple[HoldInfo, ...]:
        """What is held."""
        return usb_export.holds_told(self._footage())

    def hold(self, camera: str, begin: datetime, end: datetime, days: float, why: str) -> HoldInfo:
        """Keep a span."""
        made = self._footage().hold(camera, begin, end, owner=self.by, reason=why, days=days)
        return next(one for one in self.holds() if one.id == made.id)

    def release(self, hold: str, why: str) -> None:
        """In his name."""
        self._footage().release(hold, by=self.by, reason=why)

    def sticks(self) -> tuple[Path, ...]:
        """USB disks."""
        return usb_export.sticks()

    def export(
        self, camera: str, begin: datetime, end: datetime, why: str, to: Path, progress: Progress
    ) -> Sequence[str]:
        """Onto a USB disk."""
        return usb_export.export(self._footage(), (camera, begin, end), self.by, why, to, progress)

    def _footage(self) -> FootageArchive:
        if self.config_problem() is None:
            return FootageArchive.of_config(self.config_path, self._clock)
        return FootageArchive.of_state(self.state, self._clock)

    def log(self, lines: int) -> Sequence[str]:
        """The journal."""
        return system_commands.journal(lines)

    def config_text(self) -> Sequence[str]:
        """Without secrets."""
        return tuple(toml_lines(allowed(read_toml(self.config_path, "configuration"))))

    def certificate_request(self) -> str:
        """PEM."""
        return self._enrolment().request()

    def install_certificate(self, pem: str) -> Sequence[str]:
        """PEM."""
        return self._enrolment().install(pem, self.now(), clock_synced=self.trust().synced)

    def _enrolment(self) -> Enrolment:
        broker = None if self.config is None else self.config.broker
        return Enrolment(self.state, self.id, broker)

    def selftest(self, progress: Progress) -> Sequence[SelfTestStepInfo]:
        """In this process, beside the agent."""
        # Here, because the whole agent comes with it.
        from agent.diagnostics.selftest.run import selftest  # noqa: PLC0415

        rng = random.Random()  # noqa: S311 - names, no secrets
        report = selftest(
            self._good_config(), self._clock, rng, lambda step: progress(f"{step.name} ...")
        )
        return [SelfTestStepInfo(name=one.name, good=one.ok, said=one.said) for one in report.steps]

    def commission(self, ask: Callable[[CommissioningItem], ItemVerdict]) -> Sequence[str]:
        """By the same means as the command line."""
        return Commissioning(self.config_path, self._clock, self.by).walk(ask)

    def compare(self) -> tuple[str, Sequence[tuple[str, str]]]:
        """The same."""
        return Commissioning(self.config_path, self._clock, self.by).compare()

    def bundle(self, to: Path | None, progress: Progress) -> Path:
        """By the same means as the command line; without a USB disk into the state folder."""
        # Here, because much of the box comes with it.
        from agent.diagnostics.support_bundle import make  # noqa: PLC0415

        progress("gathering ...")
        made = make.make(self.config_path, to or self.state, self._clock)
        os.sync()
        return made.path

    def reboot(self) -> None:
        """A file asks for it: see systemd/vigie-reboot.path. The console has no right to do it."""
        folder = self._runtime()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / REBOOT).touch()

    def _good_config(self) -> Config:
        if self.config is None:
            raise ConsoleError(BAD_CONFIG)
        return self.config

    def _advised(self, verdicts: Iterable[CheckResult]) -> tuple[CheckResult, ...]:
        """With what the fault's text says to do."""
        advised = []
        for verdict in verdicts:
            text = None if verdict.code is None else self.fault_text(verdict.code)
            if text is not None and verdict.good is False and verdict.advice is None:
                advised.append(msgspec.structs.replace(verdict, advice=text.advice))
            else:
                advised.append(verdict)
        return tuple(advised)
