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
from agent.base.lockout import LOCKOUT_FILE, Lockout
from agent.base.model import CommandAccepted, CommandDone, CommandRefused, Reply
from agent.capture.lens_aim import downscale, measure_aim
from agent.config.configuration import Config
from agent.config.toml_decode import convert
from agent.console.command_table import COMMANDS
from agent.console.config_edit import KeyChange, list_editable_keys, plan_changes
from agent.console.errors import ConsoleError
from agent.console.login import Authenticator, compute_code, parse_challenge
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
    PreviewPicture,
    ProgressCallback,
    SelfTestStepInfo,
)
from agent.console.session import ConsoleSession
from agent.console.terminal import HungUp, Terminal
from agent.console.trial_status import PendingChange
from agent.faults.registry import FAULTS
from agent.update.request_file import UpdateAction, UpdateRequestStatus
from tests.conftest import ManualClock

SECRET = bytes(range(32))
BOOT = "boot-1"


class MemoryByteLine:
    """What was typed, given in pieces; the line hangs up when there is no more. Time goes on while
    nothing comes: `silence_s` of it, then it hangs up.
    """

    def __init__(
        self, clock: ManualClock, input_chunks: Sequence[bytes] = (), silence_s: float = 0
    ) -> None:
        self.clock = clock
        self.input_chunks = list(input_chunks)
        self.silence_s = silence_s
        self.output = bytearray()
        self.written_bytes = 0
        self.max_output_bytes = 1 << 20

    def read(self, timeout_s: float) -> bytes:
        if self.input_chunks:
            return self.input_chunks.pop(0)
        if self.silence_s <= 0:
            raise HungUp
        self.silence_s -= max(timeout_s, 0.01)
        self.clock.advance_s(max(timeout_s, 0.01))
        return b""

    def write(self, data: bytes) -> None:
        self.written_bytes += len(data)
        self.output += data
        del self.output[: max(0, len(self.output) - self.max_output_bytes)]

    def is_drained(self) -> bool:
        return True

    @contextmanager
    def without_flow_control(self) -> Iterator[None]:
        yield

    @property
    def screen(self) -> str:
        # A file that goes over the line is no text.
        return self.output.decode(errors="replace").replace("\r\n", "\n")


def make_picture(seed: int = 1, height: int = 180, width: int = 320) -> np.ndarray:
    """A picture with edges of all sizes."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width), 120.0)
    for _ in range(60):
        y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
        h, w = int(rng.integers(4, 40)), int(rng.integers(4, 40))
        picture[y : y + h, x : x + w] = rng.integers(20, 235)
    return picture.astype(np.uint8)


def make_health_report(
    faults: Sequence[str] = (), *, centre_listening: bool = True
) -> HealthReport:
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
                reconnects=0,
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
            centre_listening=centre_listening,
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


class FakePreview:
    source = "the agent"

    def __init__(self, views: Sequence[np.ndarray]) -> None:
        self.views = list(views)
        self.closed = False

    def read(self, timeout_s: float) -> PreviewPicture | None:
        if not self.views:
            return None
        luma = self.views.pop(0) if len(self.views) > 1 else self.views[0]
        height, width = luma.shape
        return PreviewPicture(
            luma=downscale(luma, 160, 90), width_px=width, height_px=height, aim=measure_aim(luma)
        )

    def close(self) -> None:
        self.closed = True


CONFIG = convert(
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


class FakeConfigEditor:
    """A configuration in memory. `told` is what the watch says next."""

    def __init__(self) -> None:
        self.text = self.previous_text = CONFIG_TEXT
        self.pending_change: PendingChange | None = None
        self.notice: str | None = None
        self.polls = 0

    def list_keys(self) -> Sequence[tuple[str, str]]:
        return list_editable_keys(self.text)

    def propose(self, pairs: Sequence[tuple[str, str]]) -> Sequence[KeyChange]:
        return plan_changes(self.text, pairs)

    def begin(self, changes: Sequence[KeyChange], by: str, minutes: float) -> bool:
        if self.pending_change is not None:
            raise ConsoleError("a change is on trial already")
        self.previous_text, self.text = self.text, changes[-1].new_text
        keys = ", ".join(change.key for change in changes)
        self.pending_change = PendingChange(keys=keys, by=by, remaining_s=minutes * 60)
        return True

    def pending(self) -> PendingChange | None:
        return self.pending_change

    def confirm(self) -> PendingChange:
        trial, self.pending_change = self.pending_change, None
        if trial is None:
            raise ConsoleError("nothing is on trial")
        return trial

    def undo(self) -> PendingChange:
        self.text = self.previous_text
        return self.confirm()

    def undo_if_expired(self) -> str | None:
        self.polls += 1
        message, self.notice = self.notice, None
        return message


class FakeUpdateClient:
    """Root who takes an order when he is next asked, and then tells `will_tell`, one after the other.
    Where that is empty he takes none.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[UpdateAction, str, str | None]] = []
        self.next_statuses: list[UpdateRequestStatus] = []
        self.status: UpdateRequestStatus | None = None
        self.bundles_on_usb: tuple[str, ...] = ("/run/media/sda1/vigie-2.0.0.raucb",)
        self.has_slots = True

    def list_bundles(self) -> Sequence[str]:
        self._require_slots()
        return self.bundles_on_usb

    def submit_request(self, action: UpdateAction, by: str, bundle: str | None = None) -> str:
        self._require_slots()
        self.requests.append((action, by, bundle))
        return "mine"

    def read_status(self) -> UpdateRequestStatus | None:
        if self.requests and self.next_statuses:
            self.status = self.next_statuses.pop(0)
        return self.status

    def withdraw_request(self, request_id: str) -> bool:
        if self.status is not None and self.status.id == request_id:
            return False
        self.requests.clear()
        return True

    def _require_slots(self) -> None:
        if not self.has_slots:
            raise ConsoleError("this system has no slots")


class FakeConsoleBox:
    """A box whose agent lives or not; everything that is done to it is written down."""

    def __init__(self, clock: ManualClock) -> None:
        self.technician = ""
        self.clock = clock
        self.receipts: list[tuple[str, str]] = []
        self.commands: list[tuple[str, object]] = []
        self.reboot_count = 0
        self.is_alive = True
        self.can_write_receipts = True
        self.faults: tuple[str, ...] = ()
        self.centre_listening = True
        self.views: list[np.ndarray] = [make_picture()]
        self.previews: list[FakePreview] = []
        self.pasted_certificates: list[str] = []
        self.released: list[tuple[str, str]] = []
        self.verdicts: list[ItemVerdict] = []
        self.changes: list[tuple[str, str]] = []
        self.usb_mounts: tuple[Path, ...] = (Path("/media/stick"),)
        self.config_editor = FakeConfigEditor()
        self.update_client = FakeUpdateClient()

    id = "casa-0001"
    site = "Bd Mohammed V"
    version = "1.0"
    config: Config | None = CONFIG
    config_path = Path("/etc/vigie/vigie.toml")
    state_dir = Path("/var/lib/vigie")

    def check_config(self, *, full: bool = False) -> str | None:
        return None

    def agent_state(self) -> AgentState:
        if self.is_alive:
            live_report = make_health_report(self.faults, centre_listening=self.centre_listening)
            return AgentState(state="runs", report_age_s=0.5, report=live_report)
        return AgentState(state="dead", report_age_s=90.0, report=make_health_report(self.faults))

    def describe_fault(self, code: str) -> FaultDescription | None:
        if code not in FAULTS:
            return None
        title = FAULTS[code].title  # type: ignore[index] # it is in the table
        return FaultDescription(
            code=code,
            severity="error",
            title=title,
            meaning="It is so.",
            advice="Mend it.",
            centre_advice="Wait.",
        )

    def fault_codes(self) -> tuple[str, ...]:
        return tuple(FAULTS)

    def now(self) -> datetime:
        return self.clock.utc(self.clock.boottime_ns())

    def now_ns(self) -> int:
        return self.clock.boottime_ns()

    def clock_trust(self) -> ClockTrust:
        return self.clock.trust()

    def write_receipt(self, action: str) -> None:
        if not self.can_write_receipts:
            raise ConsoleError("the disk is gone")
        self.receipts.append((self.technician, action))

    def send_command(self, verb: str, args: object, timeout_s: float) -> Iterator[Reply]:
        if not self.is_alive:
            raise ConsoleError("the agent does not run: check 5 tells more")
        self.commands.append((verb, args))
        if verb != "ptz":
            yield CommandRefused(command="1", verb=verb, code="forbidden", message="nobody may")
            return
        head = {
            "name": "mast",
            "position": {"pan_deg": 10.0, "tilt_deg": -5.0, "zoom": 0.0, "error_deg": 0.1},
            "moving": False,
            "preset": None,
            "tour": None,
            "lease": None,
            "error": None,
        }
        result = msgspec.Raw(msgspec.json.encode({"heads": [head]}))
        yield CommandAccepted(command="1", verb=verb)
        yield CommandDone(command="1", verb=verb, result=result)

    def check_board(self) -> tuple[CheckResult, ...]:
        return (CheckResult(subject="supply", ok=True, message="good now"),)

    def check_disk(self) -> CheckResult:
        return CheckResult(subject="disk", ok=True, message="can be written")

    def check_custody_log(self) -> CheckResult:
        return CheckResult(subject="receipts", ok=True, message="7")

    def camera_names(self) -> tuple[str, ...]:
        return ("north",)

    def open_preview(self, camera: str) -> CameraPreview:
        preview = FakePreview(self.views)
        self.previews.append(preview)
        return preview

    def check_interfaces(self) -> tuple[CheckResult, ...]:
        return (CheckResult(subject="eth0", ok=True, message="up"),)

    def check_modem(self) -> tuple[CheckResult, ...]:
        return (CheckResult(subject="modem", ok=None, message="none"),)

    def check_dns(self) -> CheckResult:
        return CheckResult(subject="names", ok=True, message="found")

    def check_clock(self) -> CheckResult:
        return CheckResult(subject="clock", ok=True, message="ntp")

    def check_certificates(self) -> tuple[CheckResult, ...]:
        return (CheckResult(subject="certificate", ok=True, message="good"),)

    def check_broker(self) -> tuple[CheckResult, ...]:
        return (CheckResult(subject="TCP", ok=False, message="no answer", code="NET-01"),)

    def ping_broker(self, count: int) -> Iterator[CheckResult]:
        for number in range(count):
            yield CheckResult(subject=f"ping {number + 1}", ok=True, message="3.0 ms")

    def list_serial_ports(self) -> tuple[PortInfo, ...]:
        return (
            PortInfo(path="/dev/ttyUSB0", description="an adapter", state="free", used_by=None),
        )

    def list_pins(self) -> tuple[PinInfo, ...]:
        return (PinInfo(name="door", kind="door", number=17, switchable=False, level=True),)

    def list_footage(self, camera: str | None) -> tuple[FootageSpan, ...]:
        begin = self.now() - timedelta(hours=1)
        return (
            FootageSpan(camera="north", begin=begin, end=None, size_bytes=10**9, remarks="plain"),
        )

    def list_holds(self) -> tuple[HoldInfo, ...]:
        return ()

    def create_hold(
        self, camera: str, begin: datetime, end: datetime, days: float, reason: str
    ) -> HoldInfo:
        return HoldInfo(
            id="h1",
            camera=camera,
            begin_time=str(begin),
            end_time=str(end),
            owner=self.technician,
            expires="2026-12-25T00:00:00.000Z",
        )

    def release_hold(self, hold_id: str, reason: str) -> None:
        self.released.append((hold_id, reason))

    def list_usb_mounts(self) -> tuple[Path, ...]:
        return self.usb_mounts

    def export_footage(
        self,
        camera: str,
        begin: datetime,
        end: datetime,
        reason: str,
        destination: Path,
        progress: ProgressCallback,
    ) -> Sequence[str]:
        progress("50 %")
        return [f"{destination}: 3 segments"]

    def read_journal(self, lines: int) -> Sequence[str]:
        return [f"line {number} \x1b[31m of the journal" for number in range(lines)]

    def read_config_text(self) -> Sequence[str]:
        return ["[box]", 'id = "casa-0001"']

    def create_certificate_request(self) -> str:
        return "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"

    def install_certificate(self, pem: str) -> Sequence[str]:
        self.pasted_certificates.append(pem)
        return ["Certificate of casa-0001."]

    def run_selftest(self, progress: ProgressCallback) -> Sequence[SelfTestStepInfo]:
        progress("capture ...")
        return [SelfTestStepInfo(name="capture", ok=True, message="50 frames")]

    def run_commissioning(
        self, ask_verdict: Callable[[CommissioningItem], ItemVerdict]
    ) -> Sequence[str]:
        items = [
            CommissioningItem(
                title="aim of north",
                finding="exposure good",
                picture=downscale(make_picture(), 480, 270),
            ),
            CommissioningItem(title="clock", finding="nobody sets it", picture=None),
        ]
        self.verdicts = [ask_verdict(part) for part in items]
        return ["Written and signed: /var/lib/vigie/commissioned/1"]

    def compare_with_commissioning(self) -> tuple[str, Sequence[tuple[str, str]]]:
        return "Commissioned by omar.", self.changes

    def write_support_bundle(self, destination: Path | None, progress: ProgressCallback) -> Path:
        path = (destination or self.state_dir) / "bundle.tar.gz"
        if destination is not None and destination.is_dir():
            path.write_bytes(b"a bundle")
        return path

    def request_reboot(self) -> None:
        self.reboot_count += 1


class ConsoleRig:
    """A console of a fake box: give it what is typed, and read the screen."""

    def __init__(
        self,
        clock: ManualClock,
        state: Path | None = None,
        secret: bytes | None = SECRET,
        boot: str = BOOT,
    ) -> None:
        self.clock = clock
        self.box = FakeConsoleBox(clock)
        self.line = MemoryByteLine(clock)
        self.lockout = Lockout(state, clock, boot)
        self.secret = secret
        self.random_bytes = bytes(5)

    def new_session(
        self, *, technicians: dict[str, str] | None = None, idle_s: float = 600
    ) -> ConsoleSession:
        self.terminal = Terminal(self.line, self.clock.boottime_ns)
        authenticator = Authenticator(
            self.box.id, self.secret, technicians or {}, lambda count: self.random_bytes[:count]
        )
        return ConsoleSession(
            self.terminal, self.box, authenticator, self.lockout, COMMANDS, idle_s
        )

    def type_lines(self, *lines: str, silence_s: float = 0, keys: bytes = b"") -> str:
        """All of it, then the line hangs up. What the screen shows by then."""
        self.line.input_chunks = [line.encode() + b"\r" for line in lines] + (
            [keys] if keys else []
        )
        self.line.silence_s = silence_s
        self.line.output.clear()
        with suppress(HungUp):
            while True:
                self.new_session().run(ignore_eof=True)
        return self.line.screen

    def login_code(self, name: str = "amina") -> str:
        """The answer to the next challenge."""
        challenge = parse_challenge(f"casa-0001 {name} {encode_nonce(self.random_bytes)}")
        return compute_code(SECRET, challenge)

    def run_logged_in(self, *lines: str, keys: bytes = b"", silence_s: float = 0) -> str:
        """The same for who has logged in; the screen from his welcome on."""
        screen = self.type_lines(
            "login amina", self.login_code(), *lines, keys=keys, silence_s=silence_s
        )
        return screen.partition("Welcome, amina.")[2]


def make_unwritable(state: Path) -> None:
    """A disk that can only be read, for root too: the count of wrong answers is not taken."""
    (state / LOCKOUT_FILE).with_suffix(".writing").mkdir()


def encode_nonce(random_bytes: bytes) -> str:
    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = int.from_bytes(random_bytes, "big")
    return "".join(letters[number >> shift & 31] for shift in range(35, -1, -5))
