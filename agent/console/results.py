"""What a command of the console may ask of the box, and in which words it is answered.

The wiring answers it from the configuration, the health file, the disk, the drivers and the agent's
own doors. Nothing of it needs the agent to be alive but what says so.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from agent.base.clock import ClockTrust
from agent.base.health_model import HealthReport
from agent.base.model import Reply
from agent.capture.lens_aim import LensAim
from agent.config.configuration import Config
from agent.console.trial_status import ConfigDesk
from agent.console.update_client import UpdateRequests
from drivers.contracts import CameraReadings
from drivers.media import Plane


class AgentState(msgspec.Struct, frozen=True, kw_only=True):
    """The agent. `hangs`: its process is there, and it has not said for long how it is. `report` is
    the last that it said, `age_s` ago; None where nobody knows.
    """

    state: Literal["runs", "hangs", "dead"]
    report_age_s: float | None = None
    report: HealthReport | None = None


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: good, bad, or None where it cannot be told or does not apply."""

    subject: str
    ok: bool | None
    message: str
    code: str | None = None
    advice: str | None = None


class FaultDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What a fault code means, and what to do about it at the box and at the centre, in the
    console's language.
    """

    code: str
    severity: str
    title: str
    meaning: str
    advice: str
    centre_advice: str


class PreviewPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A camera's newest picture, small and grey, and what the whole one says of the aim."""

    luma: Plane
    width_px: int
    height_px: int
    aim: LensAim
    readings: CameraReadings | None = None


class CameraPreview(Protocol):
    """One camera, being looked through. `source` says who shows it."""

    @property
    def source(self) -> str:
        """Such as `the agent`."""
        ...

    def read(self, timeout_s: float) -> PreviewPicture | None:
        """The next picture; None where none came in time. Raises ConsoleError."""
        ...

    def close(self) -> None:
        """Let go of the camera."""
        ...


class PortInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A serial port: its name, what it is, how it stands, and which head is configured on it."""

    path: str
    description: str
    state: str
    used_by: str | None = None


class PinInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A pin of the configuration. `level`: on or off, None where nobody knows."""

    name: str
    kind: str
    number: int
    switchable: bool
    level: bool | None


class FootageSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Footage of one camera without a gap. `end` is None while it is written."""

    camera: str
    begin: datetime
    end: datetime | None
    size_bytes: int
    remarks: str


class HoldInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A span that is kept from eviction."""

    id: str
    camera: str
    begin_time: str
    end_time: str
    owner: str
    expires: str


class SelfTestStepInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a self-test."""

    name: str
    ok: bool | None
    message: str


class CommissioningItem(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an installation, and what was found there. `picture` is what it is judged by."""

    title: str
    finding: str
    picture: Plane | None


class ItemVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody says of a part."""

    ok: bool
    note: str | None


ProgressCallback = Callable[[str], None]


class Box(Protocol):
    """The box at which the technician stands. What fails raises ConsoleError, UserError or OSError."""

    technician: str
    """Who is logged in, for receipts."""

    @property
    def id(self) -> str:
        """The box's id; what stands for it where the configuration cannot be read."""
        ...

    @property
    def site(self) -> str:
        """Where it stands."""
        ...

    @property
    def version(self) -> str:
        """Of the program."""
        ...

    @property
    def config(self) -> Config | None:
        """The configuration, None where it is not good."""
        ...

    @property
    def config_path(self) -> Path:
        """Its file."""
        ...

    @property
    def state_dir(self) -> Path:
        """The state folder."""
        ...

    def check_config(self, *, full: bool = False) -> str | None:
        """What is wrong with the file as it stands now; None where it is good. `deep`: with its
        drivers' options, scenes and models, which takes a moment.
        """
        ...

    @property
    def config_editor(self) -> ConfigDesk:
        """Where its file is changed."""
        ...

    @property
    def update_client(self) -> UpdateRequests:
        """Where root is asked for updates."""
        ...

    def agent_state(self) -> AgentState:
        """How the agent is."""
        ...

    def describe_fault(self, code: str) -> FaultDescription | None:
        """What a code means; None where there is no such code."""
        ...

    def fault_codes(self) -> tuple[str, ...]:
        """All there are."""
        ...

    def now(self) -> datetime:
        """The time in UTC."""
        ...

    def now_ns(self) -> int:
        """The boot time."""
        ...

    def clock_trust(self) -> ClockTrust:
        """How far the time can be trusted."""
        ...

    def write_receipt(self, action: str) -> None:
        """Write into the chain of custody that `by` did this. Raises ConsoleError where it cannot be."""
        ...

    def send_command(self, verb: str, args: object, timeout_s: float) -> Iterator[Reply]:
        """Give the agent a command, and hear its replies up to the last. Raises ConsoleError where no
        agent is there.
        """
        ...

    def check_board(self) -> tuple[CheckResult, ...]:
        """Power, heat, memory and load, as the board tells them itself."""
        ...

    def check_disk(self) -> CheckResult:
        """Whether the state folder can be written, and has room."""
        ...

    def check_custody_log(self) -> CheckResult:
        """Whether the chain of custody can be read and written."""
        ...

    def camera_names(self) -> tuple[str, ...]:
        """The cameras of the configuration."""
        ...

    def open_preview(self, camera: str) -> CameraPreview:
        """Look through a camera: the agent shows it, or it is opened here where the agent is dead."""
        ...

    def check_interfaces(self) -> tuple[CheckResult, ...]:
        """The network's interfaces and the way out."""
        ...

    def check_modem(self) -> tuple[CheckResult, ...]:
        """A cellular modem: its SIM, its network and its signal; that there is none."""
        ...

    def check_dns(self) -> CheckResult:
        """Whether the broker's name is found."""
        ...

    def check_clock(self) -> CheckResult:
        """Whether the clock is disciplined, and by whom."""
        ...

    def check_certificates(self) -> tuple[CheckResult, ...]:
        """The box's own certificate, and who signs the broker's: from the files."""
        ...

    def check_broker(self) -> tuple[CheckResult, ...]:
        """TCP and TLS to the broker, and its certificate."""
        ...

    def ping_broker(self, count: int) -> Iterator[CheckResult]:
        """Greet the broker over MQTT, and ask it something so often."""
        ...

    def list_serial_ports(self) -> tuple[PortInfo, ...]:
        """The serial ports."""
        ...

    def list_pins(self) -> tuple[PinInfo, ...]:
        """The pins of the configuration."""
        ...

    def list_footage(self, camera: str | None) -> tuple[FootageSpan, ...]:
        """What lies on the disk."""
        ...

    def list_holds(self) -> tuple[HoldInfo, ...]:
        """What is held."""
        ...

    def create_hold(
        self, camera: str, begin: datetime, end: datetime, days: float, reason: str
    ) -> HoldInfo:
        """Keep a span from eviction."""
        ...

    def release_hold(self, hold_id: str, reason: str) -> None:
        """Let go of what is held."""
        ...

    def list_usb_mounts(self) -> tuple[Path, ...]:
        """Where USB disks are mounted."""
        ...

    def export_footage(
        self,
        camera: str,
        begin: datetime,
        end: datetime,
        reason: str,
        destination: Path,
        progress: ProgressCallback,
    ) -> Sequence[str]:
        """Export a span into a new folder on a USB disk; what to tell of it, in lines."""
        ...

    def read_journal(self, lines: int) -> Sequence[str]:
        """The newest lines of the agent's journal."""
        ...

    def read_config_text(self) -> Sequence[str]:
        """The configuration's file, with what is secret taken out."""
        ...

    def create_certificate_request(self) -> str:
        """A request for a certificate, PEM, with a key that stays here."""
        ...

    def install_certificate(self, pem: str) -> Sequence[str]:
        """Take a certificate for that key; what to tell of it, in lines."""
        ...

    def run_selftest(self, progress: ProgressCallback) -> Sequence[SelfTestStepInfo]:
        """Run the self-test."""
        ...

    def run_commissioning(
        self, ask_verdict: Callable[[CommissioningItem], ItemVerdict]
    ) -> Sequence[str]:
        """Have somebody judge each part, and write it down, signed; what to tell of it, in lines."""
        ...

    def compare_with_commissioning(self) -> tuple[str, Sequence[tuple[str, str]]]:
        """When it was written down and by whom; what is not as it was, and how."""
        ...

    def write_support_bundle(self, destination: Path | None, progress: ProgressCallback) -> Path:
        """Write a support bundle, signed and without secrets, to a USB disk or the state folder."""
        ...

    def request_reboot(self) -> None:
        """Have the board restarted."""
        ...
