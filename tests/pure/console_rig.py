"""A console without a cable: a wire in memory, and a box that answers as one does."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np

from agent.base.clock import ClockTrust
from agent.base.health_model import (
    CameraHealth,
    Fault,
    FootageHealth,
    HealthReport,
    OutboxHealth,
    Vitals,
)
from agent.base.lockout import FILE, Lockout
from agent.base.model import CommandAccepted, CommandDone, CommandRefused, Reply
from agent.capture.lens_aim import measure, small
from agent.config.configuration import Config
from agent.config.strict import into
from agent.console.command_table import COMMANDS
from agent.console.config_edit import KeyChange, changed, keys_of
from agent.console.login import Authenticator, code_of, read_challenge
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
    PreviewPicture,
    Progress,
    SelfTestStepInfo,
)
from agent.console.session import ConsoleSession
from agent.console.terminal import HungUp, Terminal
from agent.console.trial_status import PendingChange
from agent.faults.registry import FAULTS
from agent.update.request import Do, UpdateProgress
from tests.conftest import HeldClock

SECRET = bytes(range(32))
BOOT = "boot-1"


class MemoryWire:
    """What was typed, given in pieces; the line hangs up when there is no more. Time goes on while
    nothing comes: `silence_s` of it, then it hangs up.
    """

    def __init__(self, clock: HeldClock, typed: Sequence[bytes] = (), silence_s: float = 0) -> None:
        self.clock = clock
        self.typed = list(typed)
        self.silence_s = silence_s
        self.sent = bytearray()
        self.sent_bytes = 0
        self.keep = 1 << 20

    def read(self, timeout_s: float) -> bytes:
        if self.typed:
            return self.typed.pop(0)
        if self.silence_s <= 0:
            raise HungUp
        self.silence_s -= max(timeout_s, 0.01)
        self.clock.pass_s(max(timeout_s, 0.01))
        return b""

    def write(self, data: bytes) -> None:
        self.sent_bytes += len(data)
        self.sent += data
        del self.sent[: max(0, len(self.sent) - self.keep)]

    def drained(self) -> bool:
        return True

    @contextmanager
    def clear(self) -> Iterator[None]:
        yield

    @property
    def screen(self) -> str:
        # A file that goes over the line is no text.
        return self.sent.decode(errors="replace").replace("\r\n", "\n")


def street(seed: int = 1, height: int = 180, width: int = 320) -> np.ndarray:
    """A picture with edges of all sizes."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width), 120.0)
    for _ in range(60):
        y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
        h, w = int(rng.integers(4, 40)), int(rng.integers(4, 40))
        picture[y : y + h, x : x + w] = rng.integers(20, 235)
    return picture.astype(np.uint8)


def report(faults: Sequence[str] = (), *, centre_listens: bool = True) -> HealthReport:
    return HealthReport(
        uptime_s=7200.0,
        version="1.0",
        vitals=Vitals(
            soc_celsius=51.0,
            load_1min=0.7,
            memory_available_bytes=900_000_000,
            agent_rss_bytes=200_000_000,
            disk_free_bytes=20_000_000_000,
            disk_total_bytes=60_000_000_000,
        ),
        stages=(),
        cameras=(
            CameraHealth(
                name="north",
                open=True,
                fps=15.0,
                age_s=0.1,
                reopened=0,
                frames_replaced=0,
                packets_dropped=0,
                last_error=None,
            ),
        ),
        detectors=(),
        footage=(
            FootageHealth(
                camera="north",
                segments=7,
                bytes=12_000_000,
                oldest_utc="2026-11-24T00:00:00.000Z",
                gaps=0,
            ),
        ),
        outbox=OutboxHealth(
            depth=0,
            bytes=0,
            oldest_age_s=None,
            lost=0,
            connected=True,
            centre_listens=centre_listens,
        ),
        faults=tuple(
            Fault(
                code=code,
                severity="error",
                title=FAULTS[code].title,  # type: ignore[index] # of the table
                subject="north",
                since_ns=0,
                detail="the device is not there",
            )
            for code in faults
        ),
    )


class FakeEye:
    source = "the agent"

    def __init__(self, views: Sequence[np.ndarray]) -> None:
        self.views = list(views)
        self.closed = False

    def look(self, timeout_s: float) -> PreviewPicture | None:
        if not self.views:
            return None
        luma = self.views.pop(0) if len(self.views) > 1 else self.views[0]
        height, width = luma.shape
        return PreviewPicture(
            luma=small(luma, 160, 90), width_px=width, height_px=height, aim=measure(luma)
        )

    def close(self) -> None:
        self.closed = True


CONFIG = into(
    {
        "box": {"id": "casa-0001", "site": "Bd Mohammed V"},
        "broker": {"url": "mqtt://127.0.0.1"},
        "camera": [{"name": "north", "driver": "fake", "options": {}}],
        "head": [{"name": "mast", "driver": "fake", "options": {}, "camera": "north"}],
    },
    Config,
    "test",
)


CONFIG_TEXT = """
[box]
id = "casa-0001"
site = "Bd Mohammed V"   # where it stands
[broker]
url = "mqtt://127.0.0.1"
"""


class FakeConfigDesk:
    """A configuration in memory. `told` is what the watch says next."""

    def __init__(self) -> None:
        self.text = self.before = CONFIG_TEXT
        self.trial: PendingChange | None = None
        self.told: str | None = None
        self.watched = 0

    def keys(self) -> Sequence[tuple[str, str]]:
        return keys_of(self.text)

    def propose(self, pairs: Sequence[tuple[str, str]]) -> Sequence[KeyChange]:
        return changed(self.text, pairs)

    def begin(self, changes: Sequence[KeyChange], by: str, minutes: float) -> bool:
        if self.trial is not None:
            raise ConsoleError("a change is on trial already")
        self.before, self.text = self.text, changes[-1].text
        what = ", ".join(change.key for change in changes)
        self.trial = PendingChange(what=what, by=by, left_s=minutes * 60)
        return True

    def standing(self) -> PendingChange | None:
        return self.trial

    def confirm(self) -> PendingChange:
        trial, self.trial = self.trial, None
        if trial is None:
            raise ConsoleError("nothing is on trial")
        return trial

    def undo(self) -> PendingChange:
        self.text = self.before
        return self.confirm()

    def watch(self) -> str | None:
        self.watched += 1
        told, self.told = self.told, None
        return told


class FakeUpdateDesk:
    """Root who takes an order when he is next asked, and then tells `will_tell`, one after the other.
    Where that is empty he takes none.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[Do, str, str | None]] = []
        self.will_tell: list[UpdateProgress] = []
        self.standing: UpdateProgress | None = None
        self.on_sticks: tuple[str, ...] = ("/run/media/sda1/vigie-2.0.0.raucb",)
        self.has_slots = True

    def bundles(self) -> Sequence[str]:
        self._refuse_without_slots()
        return self.on_sticks

    def submit_request(self, do: Do, by: str, bundle: str | None = None) -> str:
        self._refuse_without_slots()
        self.asked.append((do, by, bundle))
        return "mine"

    def read_status(self) -> UpdateProgress | None:
        if self.asked and self.will_tell:
            self.standing = self.will_tell.pop(0)
        return self.standing

    def withdraw(self, order: str) -> bool:
        if self.standing is not None and self.standing.id == order:
            return False
        self.asked.clear()
        return True

    def _refuse_without_slots(self) -> None:
        if not self.has_slots:
            raise ConsoleError("this system has no slots")


class FakeBox:
    """A box whose agent lives or not; everything that is done to it is written down."""

    def __init__(self, clock: HeldClock) -> None:
        self.by = ""
        self.clock = clock
        self.notes: list[tuple[str, str]] = []
        self.orders: list[tuple[str, object]] = []
        self.rebooted = 0
        self.alive = True
        self.can_note = True
        self.faults: tuple[str, ...] = ()
        self.centre_listens = True
        self.views: list[np.ndarray] = [street()]
        self.eyes: list[FakeEye] = []
        self.pasted: list[str] = []
        self.released: list[tuple[str, str]] = []
        self.judged: list[ItemVerdict] = []
        self.changes: list[tuple[str, str]] = []
        self.stick: tuple[Path, ...] = (Path("/media/stick"),)
        self.config_desk = FakeConfigDesk()
        self.update_desk = FakeUpdateDesk()

    id = "casa-0001"
    site = "Bd Mohammed V"
    version = "1.0"
    config: Config | None = CONFIG
    config_path = Path("/etc/vigie/vigie.toml")
    state = Path("/var/lib/vigie")

    def config_problem(self, *, deep: bool = False) -> str | None:
        return None

    def life(self) -> AgentState:
        if self.alive:
            told = report(self.faults, centre_listens=self.centre_listens)
            return AgentState(state="runs", age_s=0.5, report=told)
        return AgentState(state="dead", age_s=90.0, report=report(self.faults))

    def fault_text(self, code: str) -> FaultText | None:
        if code not in FAULTS:
            return None
        title = FAULTS[code].title  # type: ignore[index] # it is in the table
        return FaultText(
            code=code,
            severity="error",
            title=title,
            means="It is so.",
            advice="Mend it.",
            at_centre="Wait.",
        )

    def fault_codes(self) -> tuple[str, ...]:
        return tuple(FAULTS)

    def now(self) -> datetime:
        return self.clock.utc(self.clock.boottime_ns())

    def now_ns(self) -> int:
        return self.clock.boottime_ns()

    def trust(self) -> ClockTrust:
        return self.clock.trust()

    def note(self, what: str) -> None:
        if not self.can_note:
            raise ConsoleError("the disk is gone")
        self.notes.append((self.by, what))

    def ask(self, verb: str, args: object, timeout_s: float) -> Iterator[Reply]:
        if not self.alive:
            raise ConsoleError("the agent does not run: check 5 tells more")
        self.orders.append((verb, args))
        if verb != "ptz":
            yield CommandRefused(command="1", verb=verb, kind="forbidden", why="nobody may")
            return
        head = {
            "name": "mast",
            "place": {"pan_deg": 10.0, "tilt_deg": -5.0, "zoom": 0.0, "error_deg": 0.1},
            "moving": False,
            "preset": None,
            "tour": None,
            "lease": None,
            "error": None,
        }
        result = msgspec.Raw(msgspec.json.encode({"heads": [head]}))
        yield CommandAccepted(command="1", verb=verb)
        yield CommandDone(command="1", verb=verb, result=result)

    def machine(self) -> tuple[CheckResult, ...]:
        return (CheckResult(what="supply", good=True, said="good now"),)

    def disk(self) -> CheckResult:
        return CheckResult(what="disk", good=True, said="can be written")

    def chain(self) -> CheckResult:
        return CheckResult(what="receipts", good=True, said="7")

    def cameras(self) -> tuple[str, ...]:
        return ("north",)

    def open_eye(self, camera: str) -> CameraPreview:
        eye = FakeEye(self.views)
        self.eyes.append(eye)
        return eye

    def links(self) -> tuple[CheckResult, ...]:
        return (CheckResult(what="eth0", good=True, said="up"),)

    def modem(self) -> tuple[CheckResult, ...]:
        return (CheckResult(what="modem", good=None, said="none"),)

    def names(self) -> CheckResult:
        return CheckResult(what="names", good=True, said="found")

    def clock_sources(self) -> CheckResult:
        return CheckResult(what="clock", good=True, said="ntp")

    def certificates(self) -> tuple[CheckResult, ...]:
        return (CheckResult(what="certificate", good=True, said="good"),)

    def reach_broker(self) -> tuple[CheckResult, ...]:
        return (CheckResult(what="TCP", good=False, said="no answer", code="NET-01"),)

    def ping_broker(self, times: int) -> Iterator[CheckResult]:
        for number in range(times):
            yield CheckResult(what=f"ping {number + 1}", good=True, said="3.0 ms")

    def ports(self) -> tuple[PortInfo, ...]:
        return (PortInfo(path="/dev/ttyUSB0", what="an adapter", state="free", used_by=None),)

    def pins(self) -> tuple[PinInfo, ...]:
        return (PinInfo(name="door", kind="door", pin=17, switchable=False, level=True),)

    def footage(self, camera: str | None) -> tuple[FootageSpan, ...]:
        begin = self.now() - timedelta(hours=1)
        return (
            FootageSpan(camera="north", begin=begin, end=None, size_bytes=10**9, remarks="plain"),
        )

    def holds(self) -> tuple[HoldInfo, ...]:
        return ()

    def hold(self, camera: str, begin: datetime, end: datetime, days: float, why: str) -> HoldInfo:
        return HoldInfo(
            id="h1",
            camera=camera,
            begin_time=str(begin),
            end_time=str(end),
            owner=self.by,
            expires="2026-12-25T00:00:00.000Z",
        )

    def release(self, hold: str, why: str) -> None:
        self.released.append((hold, why))

    def sticks(self) -> tuple[Path, ...]:
        return self.stick

    def export(
        self, camera: str, begin: datetime, end: datetime, why: str, to: Path, progress: Progress
    ) -> Sequence[str]:
        progress("50 %")
        return [f"{to}: 3 segments"]

    def log(self, lines: int) -> Sequence[str]:
        return [f"line {number} \x1b[31m of the journal" for number in range(lines)]

    def config_text(self) -> Sequence[str]:
        return ["[box]", 'id = "casa-0001"']

    def certificate_request(self) -> str:
        return "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"

    def install_certificate(self, pem: str) -> Sequence[str]:
        self.pasted.append(pem)
        return ["Certificate of casa-0001."]

    def selftest(self, progress: Progress) -> Sequence[SelfTestStepInfo]:
        progress("capture ...")
        return [SelfTestStepInfo(name="capture", good=True, said="50 frames")]

    def commission(self, ask: Callable[[CommissioningItem], ItemVerdict]) -> Sequence[str]:
        parts = [
            CommissioningItem(
                title="aim of north", found="exposure good", picture=small(street(), 480, 270)
            ),
            CommissioningItem(title="clock", found="nobody sets it", picture=None),
        ]
        self.judged = [ask(part) for part in parts]
        return ["Written and signed: /var/lib/vigie/commissioned/1"]

    def compare(self) -> tuple[str, Sequence[tuple[str, str]]]:
        return "Commissioned by omar.", self.changes

    def bundle(self, to: Path | None, progress: Progress) -> Path:
        path = (to or self.state) / "bundle.tar.gz"
        if to is not None and to.is_dir():
            path.write_bytes(b"a bundle")
        return path

    def reboot(self) -> None:
        self.rebooted += 1


class Desk:
    """A console of a fake box: give it what is typed, and read the screen."""

    def __init__(
        self,
        clock: HeldClock,
        state: Path | None = None,
        secret: bytes | None = SECRET,
        boot: str = BOOT,
    ) -> None:
        self.clock = clock
        self.box = FakeBox(clock)
        self.wire = MemoryWire(clock)
        self.lockout = Lockout(state, clock, boot)
        self.secret = secret
        self.random = bytes(5)

    def session(
        self, *, technicians: dict[str, str] | None = None, idle_s: float = 600
    ) -> ConsoleSession:
        self.terminal = Terminal(self.wire, self.clock.boottime_ns)
        gate = Authenticator(
            self.box.id, self.secret, technicians or {}, lambda count: self.random[:count]
        )
        return ConsoleSession(self.terminal, self.box, gate, self.lockout, COMMANDS, idle_s)

    def type(self, *lines: str, silence_s: float = 0, keys: bytes = b"") -> str:
        """All of it, then the line hangs up. What the screen shows by then."""
        self.wire.typed = [line.encode() + b"\r" for line in lines] + ([keys] if keys else [])
        self.wire.silence_s = silence_s
        self.wire.sent.clear()
        with suppress(HungUp):
            while True:
                self.session().run(stays=True)
        return self.wire.screen

    def code(self, name: str = "amina") -> str:
        """The answer to the next challenge."""
        challenge = read_challenge(f"casa-0001 {name} {nonce(self.random)}")
        return code_of(SECRET, challenge)

    def logged_in(self, *lines: str, keys: bytes = b"", silence_s: float = 0) -> str:
        """The same for who has logged in; the screen from his welcome on."""
        screen = self.type("login amina", self.code(), *lines, keys=keys, silence_s=silence_s)
        return screen.partition("Welcome, amina.")[2]


def take_no_more(state: Path) -> None:
    """A disk that can only be read, for root too: the count of wrong answers is not taken."""
    (state / FILE).with_suffix(".writing").mkdir()


def nonce(random: bytes) -> str:
    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = int.from_bytes(random, "big")
    return "".join(letters[number >> shift & 31] for shift in range(35, -1, -5))
