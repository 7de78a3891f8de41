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
from agent.update.request import UpdateDesk
from drivers.contracts import CameraReadings
from drivers.media import Plane


class ConsoleError(Exception):
    """Why something cannot be done here and now, in one line for the technician."""


class AgentState(msgspec.Struct, frozen=True, kw_only=True):
    """The agent. `hangs`: its process is there, and it has not said for long how it is. `report` is
    the last that it said, `age_s` ago; None where nobody knows.
    """

    state: Literal["runs", "hangs", "dead"]
    age_s: float | None = None
    report: HealthReport | None = None


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: good, bad, or None where it cannot be told or does not apply."""

    what: str
    good: bool | None
    said: str
    code: str | None = None
    advice: str | None = None


class FaultText(msgspec.Struct, frozen=True, kw_only=True):
    """What a fault code means, and what to do about it at the box and at the centre, in the
    console's language.
    """

    code: str
    severity: str
    title: str
    means: str
    advice: str
    at_centre: str


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

    def look(self, timeout_s: float) -> PreviewPicture | None:
        """The next picture; None where none came in time. Raises CannotDo."""
        ...

    def close(self) -> None:
        """Let go of the camera."""
        ...


class PortInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A serial port: its name, what it is, how it stands, and which head is configured on it."""

    path: str
    what: str
    state: str
    used_by: str | None = None


class PinInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A pin of the configuration. `level`: on or off, None where nobody knows."""

    name: str
    kind: str
    pin: int
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
    good: bool | None
    said: str


class CommissioningItem(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an installation, and what was found there. `picture` is what it is judged by."""

    title: str
    found: str
    picture: Plane | None


class ItemVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody says of a part."""

    good: bool
    note: str | None


Progress = Callable[[str], None]


class Box(Protocol):
    """The box at which the technician stands. What fails raises CannotDo, BadInput or OSError."""

    by: str
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
    def state(self) -> Path:
        """The state folder."""
        ...

    def config_problem(self, *, deep: bool = False) -> str | None:
        """What is wrong with the file as it stands now; None where it is good. `deep`: with its
        drivers' options, scenes and models, which takes a moment.
        """
        ...

    @property
    def config_desk(self) -> ConfigDesk:
        """Where its file is changed."""
        ...

    @property
    def update_desk(self) -> UpdateDesk:
        """Where root is asked for updates."""
        ...

    def life(self) -> AgentState:
        """How the agent is."""
        ...

    def fault_text(self, code: str) -> FaultText | None:
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

    def trust(self) -> ClockTrust:
        """How far the time can be trusted."""
        ...

    def note(self, what: str) -> None:
        """Write into the chain of custody that `by` did this. Raises CannotDo where it cannot be."""
        ...

    def ask(self, verb: str, args: object, timeout_s: float) -> Iterator[Reply]:
        """Give the agent a command, and hear its replies up to the last. Raises CannotDo where no
        agent is there.
        """
        ...

    def machine(self) -> tuple[CheckResult, ...]:
        """Power, heat, memory and load, as the board tells them itself."""
        ...

    def disk(self) -> CheckResult:
        """Whether the state folder can be written, and has room."""
        ...

    def chain(self) -> CheckResult:
        """Whether the chain of custody can be read and written."""
        ...

    def cameras(self) -> tuple[str, ...]:
        """The cameras of the configuration."""
        ...

    def open_eye(self, camera: str) -> CameraPreview:
        """Look through a camera: the agent shows it, or it is opened here where the agent is dead."""
        ...

    def links(self) -> tuple[CheckResult, ...]:
        """The network's interfaces and the way out."""
        ...

    def modem(self) -> tuple[CheckResult, ...]:
        """A cellular modem: its SIM, its network and its signal; that there is none."""
        ...

    def names(self) -> CheckResult:
        """Whether the broker's name is found."""
        ...

    def clock_sources(self) -> CheckResult:
        """Whether the clock is disciplined, and by whom."""
        ...

    def certificates(self) -> tuple[CheckResult, ...]:
        """The box's own certificate, and who signs the broker's: from the files."""
        ...

    def reach_broker(self) -> tuple[CheckResult, ...]:
        """TCP and TLS to the broker, and its certificate."""
        ...

    def ping_broker(self, times: int) -> Iterator[CheckResult]:
        """Greet the broker over MQTT, and ask it something so often."""
        ...

    def ports(self) -> tuple[PortInfo, ...]:
        """The serial ports."""
        ...

    def pins(self) -> tuple[PinInfo, ...]:
        """The pins of the configuration."""
        ...

    def footage(self, camera: str | None) -> tuple[FootageSpan, ...]:
        """What lies on the disk."""
        ...

    def holds(self) -> tuple[HoldInfo, ...]:
        """What is held."""
        ...

    def hold(self, camera: str, begin: datetime, end: datetime, days: float, why: str) -> HoldInfo:
        """Keep a span from eviction."""
        ...

    def release(self, hold: str, why: str) -> None:
        """Let go of what is held."""
        ...

    def sticks(self) -> tuple[Path, ...]:
        """Where USB disks are mounted."""
        ...

    def export(
        self, camera: str, begin: datetime, end: datetime, why: str, to: Path, progress: Progress
    ) -> Sequence[str]:
        """Export a span into a new folder on a USB disk; what to tell of it, in lines."""
        ...

    def log(self, lines: int) -> Sequence[str]:
        """The newest lines of the agent's journal."""
        ...

    def config_text(self) -> Sequence[str]:
        """The configuration's file, with what is secret taken out."""
        ...

    def certificate_request(self) -> str:
        """A request for a certificate, PEM, with a key that stays here."""
        ...

    def install_certificate(self, pem: str) -> Sequence[str]:
        """Take a certificate for that key; what to tell of it, in lines."""
        ...

    def selftest(self, progress: Progress) -> Sequence[SelfTestStepInfo]:
        """Run the self-test."""
        ...

    def commission(self, ask: Callable[[CommissioningItem], ItemVerdict]) -> Sequence[str]:
        """Have somebody judge each part, and write it down, signed; what to tell of it, in lines."""
        ...

    def compare(self) -> tuple[str, Sequence[tuple[str, str]]]:
        """When it was written down and by whom; what is not as it was, and how."""
        ...

    def bundle(self, to: Path | None, progress: Progress) -> Path:
        """Write a support bundle, signed and without secrets, to a USB disk or the state folder."""
        ...

    def reboot(self) -> None:
        """Have the board restarted."""
        ...
