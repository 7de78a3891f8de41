"""Console over a line in memory: a real context on a real state folder, and a previewed camera."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from agent.base import atomic_file
from agent.base.clock import boot_id
from agent.base.health_model import (
    CameraHealth,
    Fault,
    FootageHealth,
    GroundHealth,
    HealthReport,
    OutboxHealth,
    Vitals,
)
from agent.base.lockout import LOCKOUT_FILE, Lockout
from agent.config import console_settings
from agent.console.camera_preview import CameraPreview
from agent.console.console_command import ConsoleCommand
from agent.console.context import ConsoleContext
from agent.console.login import Authenticator, compute_code, parse_challenge
from agent.console.serve import COMMANDS
from agent.console.session import ConsoleSession
from agent.console.terminal import HungUp, Terminal
from agent.faults.registry import FAULTS
from agent.health import health_file
from agent.recording.custody.receipts import FootageViewed, ReceiptBody, ServiceAction, parse_line
from tests.conftest import ManualClock
from tests.parts.console_peers import MemoryByteLine, RecordedPreview, make_picture

SECRET = bytes(range(32))
BOX = "casa-0001"
STICK = "run/media/sda1"

FAULT_SUBJECTS = {"NET-01": "broker", "NET-03": "centre"}
"""The subjects of the faults in a report, by default the camera."""

CONFIG_TEXT = """
[box]
id = "casa-0001"
site = "Bd Mohammed V"   # where it stands
state = "state"
[broker]
url = "mqtt://127.0.0.1:1"
[[camera]]
name = "north"
driver = "fake"
options = {}
[camera.detect]
enabled = false
[[head]]
name = "mast"
driver = "fake"
options = {}
camera = "north"
"""


def make_health_report(
    faults: Sequence[str] = (),
    *,
    centre_listening: bool = True,
    state_free_bytes: int = 20_000_000_000,
    ground: GroundHealth | None = None,
) -> HealthReport:
    return HealthReport(
        uptime_s=7200.0,
        version="1.0",
        vitals=Vitals(
            soc_celsius=51.0,
            load_1min=0.7,
            memory_available_bytes=900_000_000,
            agent_rss_bytes=200_000_000,
            state_free_bytes=state_free_bytes,
            state_total_bytes=60_000_000_000,
            footage_free_bytes=20_000_000_000,
            footage_total_bytes=60_000_000_000,
        ),
        stages=(),
        cameras=(
            CameraHealth(
                name="north",
                open=True,
                state="delivering",
                stream_fps=15.0,
                detect_fps=None,
                age_s=0.1,
                reconnects=0,
                frames_replaced=0,
                packets_dropped=0,
                last_error=None,
                ground=ground,
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
                subject=FAULT_SUBJECTS.get(code, "north"),
                since_ns=0,
                detail="the device is not there",
            )
            for code in faults
        ),
    )


class ConsoleRig:
    """Console of a box in a folder: give it what is typed, and read the screen.

    `folder` is the configuration's, `folder/state` the state folder, and `folder/root` has /proc, /usr and
    /run. The agent lives if `is_alive`: its health file is fresh when a line is typed.
    """

    def __init__(
        self,
        clock: ManualClock,
        folder: Path,
        *,
        secret: bytes | None = SECRET,
        boot: str | None = None,
        config_text: str = CONFIG_TEXT,
        commands: Sequence[ConsoleCommand] = COMMANDS,
    ) -> None:
        self.clock = clock
        self.boot = boot or boot_id()
        self.secret = secret
        self.commands = commands
        self.technicians: dict[str, str] = {}
        self.config_path = folder / "vigie.toml"
        self.state_dir = folder / "state"
        self.root = folder / "root"
        self.state_dir.mkdir(parents=True, exist_ok=True)
        if not self.config_path.exists():
            self.config_path.write_text(config_text)
            _make_root(self.root)
        self.line = MemoryByteLine(clock)
        self.random_bytes = bytes(5)
        self.is_alive = True
        self.faults: tuple[str, ...] = ()
        self.ground: GroundHealth | None = None
        self.centre_listening = True
        self.state_free_bytes = 20_000_000_000
        self.views: list[np.ndarray] = [make_picture()]
        self.previews: list[RecordedPreview] = []
        self.lockout = Lockout(self.state_dir, clock, self.boot)
        self.context = ConsoleContext(
            console_settings.read(self.config_path),
            clock,
            self.boot,
            root=self.root,
            preview_opener=self._open_preview,
        )

    def _open_preview(self, *_request: object) -> CameraPreview:
        self.previews.append(RecordedPreview(self.clock, self.views))
        return self.previews[-1]

    def _receipt_bodies(self) -> list[ReceiptBody]:
        return [
            parse_line(line).receipt.body
            for file in sorted((self.state_dir / "custody").glob("*.chain"))
            for line in file.read_bytes().splitlines()
        ]

    @property
    def receipts(self) -> list[tuple[str, str]]:
        """The technician's actions in the custody log."""
        bodies = self._receipt_bodies()
        return [(body.by, body.action) for body in bodies if isinstance(body, ServiceAction)]

    @property
    def purposes(self) -> list[str]:
        """The purposes of the views in the custody log."""
        return [body.purpose for body in self._receipt_bodies() if isinstance(body, FootageViewed)]

    @property
    def reboot_requested(self) -> bool:
        return (self.state_dir / "run" / "reboot").exists()

    def break_custody_log(self) -> None:
        """Make each receipt fail, for root too: the folder's name is taken by a file."""
        (self.state_dir / "custody").write_text("not a folder")

    def run_agent(self) -> None:
        """Write the health file as the agent does once a second."""
        report = make_health_report(
            self.faults,
            centre_listening=self.centre_listening,
            state_free_bytes=self.state_free_bytes,
            ground=self.ground,
        )
        health_file.write(
            self.state_dir / "run", health_file.make_live(report, self.clock, self.boot)
        )

    def kill_agent(self) -> None:
        """Let the agent's last report be 90 s old."""
        self.run_agent()
        self.is_alive = False
        self.clock.advance_s(90)

    def new_session(self, *, idle_s: float = 600) -> ConsoleSession:
        self.terminal = Terminal(self.line, self.clock.boottime_ns)
        authenticator = Authenticator(
            BOX, self.secret, self.technicians, lambda count: self.random_bytes[:count]
        )
        return ConsoleSession(
            self.terminal, self.context, authenticator, self.lockout, self.commands, idle_s
        )

    def type_lines(self, *lines: str, silence_s: float = 0, keys: bytes = b"") -> str:
        """Type lines and keys, then hang up; return the screen."""
        if self.is_alive:
            self.run_agent()
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
        """Compute the answer to the next challenge."""
        challenge = parse_challenge(f"{BOX} {name} {encode_nonce(self.random_bytes)}")
        return compute_code(SECRET, challenge)

    def run_logged_in(self, *lines: str, keys: bytes = b"", silence_s: float = 0) -> str:
        """Log in and type lines and keys, then hang up; return the screen after the welcome."""
        screen = self.type_lines(
            "login amina", self.login_code(), *lines, keys=keys, silence_s=silence_s
        )
        return screen.partition("Welcome, amina.")[2]


def _make_root(root: Path) -> None:
    """Write a kernel's command line with slots, a USB disk, and a journal."""
    for folder in ("proc/self", "usr/bin", STICK):
        (root / folder).mkdir(parents=True)
    (root / "proc/cmdline").write_text("console=tty1 rauc.slot=A\n")
    (root / "proc/meminfo").write_text("MemTotal: 2000000 kB\nMemAvailable: 900000 kB\n")
    (root / "proc/self/mounts").write_text(f"/dev/sda1 /{STICK} vfat rw 0 0\n")
    journalctl = root / "usr/bin/journalctl"
    journalctl.write_text(
        "#!/bin/sh\n"
        'for number in $(seq 0 $(($4 - 1))); do printf "line $number \\033[31m of the journal\\n"; done\n'
    )
    journalctl.chmod(0o755)


def make_unwritable(state: Path) -> None:
    """Make the lockout file unwritable, for root too: its temporary name is taken by a folder."""
    path = state / LOCKOUT_FILE
    path.with_name(f".{path.name}{atomic_file.TEMP_SUFFIX}").mkdir()


def encode_nonce(random_bytes: bytes) -> str:
    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = int.from_bytes(random_bytes, "big")
    return "".join(letters[number >> shift & 31] for shift in range(35, -1, -5))
