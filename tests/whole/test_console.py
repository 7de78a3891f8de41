"""The console over a cable, as a technician meets it: `vigie console` at a pseudo-terminal, with a real
box behind it whose agent is dead, alive, stopped or locked out of its own configuration.
"""

import base64
import os
import random
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.__main__ import main
from agent.console.login import parse_challenge
from agent.recording.custody.receipts import FootageViewed, ServiceAction, parse_line
from tests.child_processes import child_commands
from tests.parts.test_session import hostile, pieces
from tests.whole.report.broker import Mosquitto
from tests.whole.rig import TIMEOUT_S, AgentBox, RunningCentre
from tests.whole.technician import (
    LOGGED_OUT_PROMPT,
    ConsoleTechnician,
    make_box_folder,
    write_console_secret,
)

DEAD = """
[box]
id = "casa-0001"
site = "Bd Mohammed V"
state = "state"
[broker]
url = "mqtt://127.0.0.1:1"
password_file = "broker.password"
username = "casa-0001"
[[camera]]
name = "north"
driver = "fake"
[camera.options]
width_px = 640
height_px = 360
[[camera]]
name = "yard"
driver = "v4l2"
[camera.options]
device = "/dev/video-that-is-not-there"
[camera.detect]
enabled = false
"""

Sit = Callable[..., ConsoleTechnician]


@pytest.fixture
def sit() -> Iterator[Sit]:
    """Sits down at consoles, and leaves them."""
    sitting: list[ConsoleTechnician] = []

    def down(
        folder: Path, *words: str, baud: int | None = None, local: bool = False
    ) -> ConsoleTechnician:
        sitting.append(ConsoleTechnician(folder, *words, baud=baud, local=local))
        return sitting[-1]

    yield down
    for technician in sitting:
        technician.unplug()


@pytest.fixture
def dead(tmp_path: Path) -> Path:
    return make_box_folder(tmp_path / "box", DEAD)


def serviced(folder: Path) -> list[str]:
    """Return the technicians' actions in the custody log."""
    bodies = [body for body in receipts(folder) if isinstance(body, ServiceAction)]
    return [f"{body.by}: {body.action}" for body in bodies]


def receipts(folder: Path) -> list[object]:
    lines = [
        line
        for file in sorted((folder / "state" / "custody").glob("*.chain"))
        for line in file.read_bytes().splitlines()
    ]
    return [parse_line(line).receipt.body for line in lines]


def test_with_the_agent_dead_the_console_finds_out_why_a_camera_is_dark(
    dead: Path, sit: Sit
) -> None:
    seat = sit(dead)
    assert "Welcome, amina." in seat.log_in()
    assert "Agent  DEAD (never heard): nothing is recorded" in seat.run_command("status")
    cameras = seat.run_command("check 6")
    assert "6 pass camera north: gives pictures (640 x 360), tried here" in cameras
    assert "FAIL CAM-01 camera yard:" in cameras
    assert "/dev/video-that-is-not-there" in cameras
    assert "Failed: check 6." in cameras
    picture = seat.run_command("camera north")
    assert "north, 640 x 360, shown by the console itself" in picture
    assert "FAIL NET-01" in seat.run_command("net")
    assert "FAIL" in seat.run_command("mqtt ping")
    assert "No holds." in seat.run_command("footage holds")
    assert "You are logged out.\n\n\nVigie" in seat.run_command("logout")
    assert serviced(dead) == [
        "amina: login by code",
        "amina: status",
        "amina: check 6",
        "amina: camera north",
        "amina: net",
        "amina: mqtt ping",
        "amina: footage holds",
        "amina: logout",
    ]
    viewed = [body for body in receipts(dead) if isinstance(body, FootageViewed)]
    assert [body.camera for body in viewed] == ["north", "yard", "north"]
    assert {body.by for body in viewed} == {"amina"}


def test_the_first_screens_arrive_whole_at_9600_baud(dead: Path, sit: Sit) -> None:
    seat = sit(dead, "--baud", "9600", baud=9600)
    seat.log_in()
    assert "logout" in seat.run_command("help")
    before = seat.received_bytes
    assert "glass" in seat.run_command("camera north")
    # Two seconds of a line at 9600.
    assert seat.received_bytes - before < 2 * 960
    seat.send(b"camera north focus\r")
    assert "focus: 100 % of the best seen [#" in seat.read_until_seen("turn on past the sharpest")
    seat.send(b"q")
    seat.read_until("casa-0001> ")
    assert "Agent" in seat.run_command("status")


def test_the_documented_command_computes_the_answer_to_a_challenge(dead: Path, sit: Sit) -> None:
    seat = sit(dead)
    seat.read_until(LOGGED_OUT_PROMPT)
    challenge = seat.request_challenge("amina")
    office = console_code(dead, challenge.lower())
    assert re.fullmatch(r"\d{4} \d{4}\n", office)
    assert "Welcome, amina." in seat.run_command(office.strip())


def test_a_token_logs_in_without_any_secret(tmp_path: Path, sit: Sit) -> None:
    token = Ed25519PrivateKey.generate()
    public = base64.b64encode(token.public_key().public_bytes_raw()).decode()
    person = f'[[console.technician]]\nid = "amina"\npublic_key = "{public}"\n'
    box = make_box_folder(tmp_path / "box", DEAD + person, secret=False)
    seat = sit(box)
    seat.read_until(LOGGED_OUT_PROMPT)
    assert "no token of that name" in seat.run_command("login brahim")
    challenge = parse_challenge(seat.request_challenge("amina"))
    answer = base64.b64encode(token.sign(challenge.message)).decode()
    assert "Welcome, amina." in seat.run_command(answer)
    assert serviced(box) == ["amina: login by token"]


def test_a_lockout_survives_a_restart_of_the_console(dead: Path, sit: Sit) -> None:
    seat = sit(dead)
    seat.read_until(LOGGED_OUT_PROMPT)
    for _ in range(3):
        seat.run_command("login amina", "Answer: ")
        assert "That is not the answer" in seat.run_command("00000000")
    again = sit(dead)
    again.read_until(LOGGED_OUT_PROMPT)
    assert "SVC-01: 3 wrong answers in a row." in again.run_command("login amina", "Answer: ")


def test_a_console_that_was_never_provisioned_explains_how_to_provision_it(
    tmp_path: Path, sit: Sit
) -> None:
    seat = sit(make_box_folder(tmp_path / "box", DEAD, secret=False))
    assert "Nobody can log in yet" in seat.read_until(LOGGED_OUT_PROMPT)
    assert "Nobody can log in yet" in seat.run_command("login amina")
    assert "console.secret, mode 600" in seat.run_command("about")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[box\n", "not valid TOML"),
        (DEAD.replace('site = "Bd Mohammed V"\n', ""), "box.site: missing; it has to be given"),
        (DEAD + "[kamera]\n", "kamera: unknown key"),
    ],
)
def test_a_technician_can_log_in_with_a_broken_configuration(
    tmp_path: Path, sit: Sit, text: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = make_box_folder(tmp_path / "box", text)
    monkeypatch.setenv("STATE_DIRECTORY", str(box / "state"))
    seat = sit(box)
    seat.read_until(LOGGED_OUT_PROMPT)
    challenge = seat.request_challenge("amina")
    prompt = f"{challenge.split()[0]}> "
    assert "Welcome, amina." in seat.run_command(console_code(box, challenge).strip(), prompt)
    assert why in seat.run_command("check 4", prompt).replace("\n", "")
    assert "FAIL" in seat.run_command("check 6 14", prompt)
    assert "Traceback" not in seat.log


def console_code(box: Path, challenge: str) -> str:
    """Return the output of the office's command."""
    words = ["console-code", "--secret", "console.secret", *challenge.split()]
    return subprocess.run(
        [sys.executable, "-m", "agent", *words],
        cwd=box,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_no_secret_is_shown_anywhere(dead: Path, sit: Sit) -> None:
    (dead / "broker.password").write_text("hunter2")
    toml = dead / "vigie.toml"
    toml.write_text(
        toml.read_text()
        + '[[camera]]\nname = "lent"\ndriver = "rtsp"\n[camera.options]\n'
        + 'url = "rtsp://u:hunter2@10.0.0.9/x"\n# hunter2\n'
    )
    secret = (dead / "console.secret").read_text().strip()
    seat = sit(dead)
    screens = [seat.log_in()]
    screens += [
        seat.run_command(line)
        for line in ("config", "check 4 13 14", "mqtt ping", "about", "log 5")
    ]
    shown = "\n".join(screens) + seat.log
    assert "hunter2" not in shown
    assert secret not in shown
    assert 'url = "rtsp://10.0.0.9/(left out)"' in shown


def test_a_million_hostile_bytes_on_the_cable_have_no_effect(dead: Path, sit: Sit) -> None:
    seat = sit(dead)
    seat.read_until(LOGGED_OUT_PROMPT)
    rng = random.Random(77)
    sizes = []
    for _ in range(10):
        for piece in pieces(rng, hostile(rng, 100_000)):
            _swallow(seat, piece)
        sizes.append(_resident_bytes(seat.process.pid))
        assert seat.process.poll() is None, seat.log
    assert child_commands(seat.process.pid) == {}
    assert sizes[-1] - sizes[1] < 3_000_000
    _swallow(seat, b"\x03\r\r\r")
    assert "Traceback" not in seat.log
    assert all("login refused" in line for line in serviced(dead))


def _swallow(seat: ConsoleTechnician, data: bytes) -> None:
    """Send all of it, and read whatever comes back meanwhile."""
    view = memoryview(data)
    os.set_blocking(seat.pty_master, False)
    end_s = time.monotonic() + TIMEOUT_S
    while view:
        assert time.monotonic() < end_s
        with suppress(BlockingIOError):
            os.read(seat.pty_master, 65_536)
        try:
            view = view[os.write(seat.pty_master, view[:256]) :]
        except BlockingIOError:
            continue
    os.set_blocking(seat.pty_master, True)


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_in_a_local_terminal_the_console_ends_at_the_logout_and_restores_the_terminal(
    dead: Path, sit: Sit
) -> None:
    seat = sit(dead, local=True)
    before = termios.tcgetattr(seat.pty_slave)
    seat.log_in()
    assert termios.tcgetattr(seat.pty_slave) != before
    seat.send(b"logout\r")
    assert seat.process.wait(TIMEOUT_S) == 0
    assert termios.tcgetattr(seat.pty_slave) == before


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--port", "/dev/null"], "is not a serial port"),
        ([], "this is not a terminal"),
        (["--baud", "12"], "invalid choice"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(dead: Path, words: list[str], why: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent", "console", "--config", "vigie.toml", *words],
        cwd=dead,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_after_a_logout_the_configuration_is_read_again(dead: Path, sit: Sit) -> None:
    seat = sit(dead)
    seat.log_in()
    toml = dead / "vigie.toml"
    toml.write_text(toml.read_text().replace("Bd Mohammed V", "Place Maarif"))
    assert "Place Maarif" in seat.run_command("logout")


def test_a_command_reads_the_configuration_as_it_is_now(dead: Path, sit: Sit) -> None:
    seat = sit(dead)
    seat.log_in()
    toml = dead / "vigie.toml"
    toml.write_text(toml.read_text().replace('name = "yard"', 'name = "gate"'))
    screen = seat.run_command("check 6")
    assert "camera gate:" in screen
    assert "camera yard:" not in screen


def test_ctrl_c_stops_a_self_test_and_leaves_nothing_of_it(dead: Path, sit: Sit) -> None:
    seat = sit(dead)
    seat.log_in()
    seat.send(b"selftest\r")
    seat.read_until_seen("Recording continues.")
    seat.send(b"\x03")
    assert "The self-test was stopped; it has no result." in seat.read_until("casa-0001> ")
    assert not (dead / "state" / "selftest.tmp").exists()
    assert not (dead / "state" / "selftest.json").exists()


def test_a_confirmed_reboot_writes_the_reboot_request_file(dead: Path, sit: Sit) -> None:
    asked = dead / "state" / "run" / "reboot"
    seat = sit(dead)
    seat.log_in()
    seat.run_command("reboot", "and press enter: ")
    assert "Nothing is restarted." in seat.run_command("no")
    assert not asked.exists()
    seat.run_command("reboot", "and press enter: ")
    assert "The box restarts within seconds." in seat.run_command("casa-0001")
    assert asked.exists()
    assert serviced(dead)[-1] == "amina: reboot confirmed"


HEAD = '\n[[head]]\nname = "mast"\ndriver = "fake"\n'


@pytest.fixture
def alive(box: AgentBox, centre: RunningCentre) -> AgentBox:  # noqa: ARG001 - it listens
    """A box whose agent runs, with a head, and a centre that listens."""
    toml = box.folder / "vigie.toml"
    toml.write_text(toml.read_text() + HEAD)
    write_console_secret(box.folder)
    box.start()
    return box


def test_with_the_agent_alive_every_command_is_sent_to_it(
    alive: AgentBox, mosquitto: Mosquitto, sit: Sit
) -> None:
    seat = sit(alive.folder)
    seat.log_in()
    status = seat.run_command("status")
    assert re.search(r"Agent +runs for", status), status
    assert "Camera north" in status
    assert "pass agent: runs, and none of its stages fails" in seat.run_command("check 5")
    _says(seat, "check 6", "pass camera north")
    assert "north, 640 x 360, shown by the agent" in seat.run_command("camera")
    ping = seat.run_command("mqtt ping 2")
    assert "pass connection: as casa-0001-console" in ping
    assert "pass ping 2:" in ping
    assert f"pass TCP to 127.0.0.1:{mosquitto.port}" in seat.run_command("net")
    assert "mast: pan" in seat.run_command("ptz status")
    assert "mast: mark is stored at pan 0.0 tilt 0.0 zoom 0.00." in seat.run_command("ptz set mark")
    assert "mast moves to pan 20.0 tilt 5.0 zoom 0.00." in seat.run_command("ptz goto 20 5")
    _says(seat, "ptz status", "pan 20.0 tilt 5.0 zoom 0.00, controlled by amina (operator)")
    assert "mast moves to mark." in seat.run_command("ptz goto mark")
    _says(seat, "ptz status", "pan 0.0 tilt 0.0 zoom 0.00, at mark, controlled by amina")
    assert re.search(r"mark +pan 0.0 .* stored by amina", seat.run_command("ptz presets"))
    seat.send(b"ptz\r")
    seat.read_until("q ends.\r\n")
    seat.send(b"9d")
    seat.read_until_seen("pan +1.0")
    seat.send(b"q")
    assert "mast is stopped." in seat.read_until("casa-0001> ")
    hold = seat.run_command('footage hold north -1m now "a technician was here"')
    assert "Held until" in hold
    assert "by amina" in seat.run_command("footage holds")
    assert "amina: footage hold north -1m now a technician was here" in serviced(alive.folder)
    (held,) = re.findall(r"Held until \S+ as\s+([\w-]+)\.", hold)
    assert "may be evicted" in seat.run_command(f"footage release {held} mistaken")
    assert "No holds." in seat.run_command("footage holds")


def test_a_box_is_commissioned_over_the_cable(alive: AgentBox, sit: Sit) -> None:
    seat = sit(alive.folder)
    seat.log_in()
    _says(seat, "status", "runs for")
    assert "this box was never commissioned" in seat.run_command("commission compare")
    seat.send(b"commission\r")
    asked = []
    while True:
        screen = seat.read_until("good? ", "casa-0001> ")
        if "good? " not in screen:
            break
        asked.append(screen.splitlines()[-2])
        seat.send(b"y\r" if "clock" not in asked[-1] else b"n no time here\r")
    assert [one.split(":")[0] for one in asked] == [
        *("aim of north", "focus of north", "masks of north", "head of mast", "link", "clock")
    ]
    assert "NOT GOOD: clock: no time here" in screen
    assert "Written:" in screen
    (folder,) = (alive.folder / "state" / "commissioned").iterdir()
    assert main(["commission", "verify", str(folder)]) == 0
    assert "commissioned " in seat.run_command("commission compare")
    assert "amina: commissioned by amina" in serviced(alive.folder)


def test_a_hung_agent_is_distinguished_from_a_dead_one(alive: AgentBox, sit: Sit) -> None:
    seat = sit(alive.folder)
    seat.log_in()
    os.kill(alive.pid, signal.SIGSTOP)
    _says(seat, "status", "HANGS: its process listens, but reports nothing")
    assert "FAIL agent: HANGS" in seat.run_command("check 5")
    os.kill(alive.pid, signal.SIGCONT)
    _says(seat, "status", "runs for")
    alive.stop(signal.SIGKILL)
    _says(seat, "status", "DEAD (last heard")
    assert "tried here" in seat.run_command("check 6")
    assert "shown by the console itself" in seat.run_command("camera")
    alive.start()
    _says(seat, "status", "runs for")
    assert alive.stop(signal.SIGTERM) == 0
    # At once, and not after the five seconds in which a report of a dead agent counts as fresh.
    assert "STOPPED in order" in seat.run_command("status")
    assert "FAIL agent: STOPPED in order" in seat.run_command("check 5")


def _says(seat: ConsoleTechnician, line: str, words: str) -> None:
    """Typed again until it does."""
    end_s = time.monotonic() + TIMEOUT_S
    while words not in (screen := seat.run_command(line)):
        assert time.monotonic() < end_s, screen


def test_a_locked_console_is_reported_to_the_centre_as_a_fault(
    alive: AgentBox, centre: RunningCentre, sit: Sit
) -> None:
    seat = sit(alive.folder)
    seat.read_until(LOGGED_OUT_PROMPT)
    for _ in range(3):
        seat.run_command("login amina", "Answer: ")
        seat.run_command("00000000")

    def told(heard: list[object]) -> bool:
        return any("SVC-01" in str(item) for item in heard)

    centre.wait_for(told, "SVC-01 in health")  # type: ignore[arg-type] # whatever it is
