"""`page` at the console: the real unit's process, the real act server, a phone, and the technician at the cable."""

import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from agent.console import page_wire
from agent.console.errors import ConsoleError
from agent.console.page_switch import END_GRACE_NS, PageSwitch
from agent.console.page_wire import (
    PageEnded,
    PageJoined,
    PageReady,
    PageRefused,
    PageReport,
    PageUsed,
)
from drivers.local_wire import HEADER, pack_message
from tests.conftest import ManualClock
from tests.free_port import free_port
from tests.loopback_server import LoopbackServer
from tests.parts.console_rig import CONFIG_TEXT, ConsoleRig
from tests.whole.pole_page_box import (
    TIMEOUT_S,
    PageUnit,
    Phone,
    PolePageBox,
    listening_ports,
    make_root,
)
from tests.whole.report.reporting_box import wait_until

LINK_PATTERN = re.compile(r"https://127\.0\.0\.1:(\d+)/#([a-z2-7]{26})\n")
FINGERPRINT_PATTERN = re.compile(
    r"((?:[0-9A-F]{2}:){15}[0-9A-F]{2})\n +((?:[0-9A-F]{2}:){15}[0-9A-F]{2})"
)


class Pole:
    """A console at a box whose only address is the loopback's, and what a phone does while the console waits."""

    def __init__(self, clock: ManualClock, folder: Path) -> None:
        self.rig = ConsoleRig(clock, folder)
        root = self.rig.root
        (root / page_wire.ACTS_DIR).mkdir(parents=True)
        (root / "tls").mkdir(mode=0o700)
        (root / "sys/class/net/lo").mkdir(parents=True)
        self.unit = PageUnit(root)
        self.port = free_port()
        self.phone: Phone | None = None
        self.at_prompt: list[Callable[[], None]] = []
        self.rig.line.on_read = self._act

    def _act(self) -> bool:
        """Do the next thing of the phone once the typed lines are through."""
        if self.rig.line.input_chunks or not self.at_prompt:
            return False
        self.at_prompt.pop(0)()
        return True

    @property
    def screen(self) -> str:
        return re.sub(r"\x1b\[[0-9;]*m", "", self.rig.line.screen)

    def log_in(self) -> None:
        """Log a phone in by the newest link on the screen, after a look at the certificate."""
        port, token = LINK_PATTERN.findall(self.screen)[-1]
        halves = FINGERPRINT_PATTERN.findall(self.screen)[0]
        fingerprint = "".join(halves).replace(":", "").lower()
        self.phone = Phone(int(port), fingerprint)
        assert self.phone.log_in(token).status == 204

    def run(
        self, *lines: str, silence_s: float = 0.5, at_prompt: tuple[Callable[[], None], ...] = ()
    ) -> str:
        self.at_prompt = list(at_prompt)
        return self.rig.run_logged_in(*lines, silence_s=silence_s)

    def wait_until_closed(self) -> None:
        """The port is closed once each phone has the answer that the page is off, or did not ask for it."""
        wait_until(lambda: self.port not in listening_ports())

    def close(self) -> None:
        self.rig.context.page_switch.turn_off()
        self.unit.close()


@pytest.fixture
def pole(clock: ManualClock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pole]:
    # A short path: unix(7) allows 107 bytes for that of a socket.
    made = Pole(clock, tmp_path_factory.mktemp("pole"))
    yield made
    made.close()


def test_a_technician_turns_the_page_on_logs_phones_in_and_logs_out(pole: Pole) -> None:
    ports: list[set[int]] = [listening_ports()]

    def look() -> None:
        pole.log_in()
        assert pole.phone is not None
        ports.append(listening_ports())
        body = msgspec.json.decode(pole.phone.request("GET", "/api/session").body)
        assert (body["technician"], body["box"]) == ("amina", "casa-0001")
        assert 0 < body["ends_in_s"] <= 1800
        assert pole.phone.act("status").status == 200

    screen = pole.run(
        f"page on {pole.port}",
        "page on",
        "page link 192.168.4.1",
        "page link",
        "page",
        silence_s=3,
        at_prompt=(look,),
    )
    assert [pole.port in one for one in ports] == [False, True]
    pole.wait_until_closed()
    assert "The page is on for 30 min." in screen
    assert f"the page is on already, on port {pole.port}: page off ends it" in screen
    assert "192.168.4.1: no address of the box; allowed: 127.0.0.1" in screen
    assert len({token for _, token in LINK_PATTERN.findall(screen)}) == 2
    assert "The page is on for 30 min more, 0 phones have logged in:" in screen
    assert "The page: a phone at 127.0.0.1 is logged in." in screen
    assert ("amina", f"page on {pole.port}") in pole.rig.receipts
    assert ("amina", "page: a phone at 127.0.0.1 is logged in") in pole.rig.receipts
    text = re.sub(r"\x1b\[[0-9;]*m", "", screen)
    assert max(map(len, text.splitlines())) < 80


def test_page_off_ends_the_page_before_the_logout(pole: Pole) -> None:
    screen = pole.run(
        f"page on {pole.port}",
        "page off",
        "page",
        silence_s=2,
        at_prompt=(pole.wait_until_closed,),
    )
    assert "The page is off." in screen
    assert "the page is off; allowed: page on" in screen


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("page on 80", "page on 80: allowed:\n  page on [PORT, 1024 to 65535]"),
        ("page on 8443 8444", "page on 8443 8444: allowed:\n  page\n  page on [PORT]"),
        ("page on x", "page on x: allowed:"),
        ("page link", "the page is off; allowed: page on"),
        ("page off", "The page was off."),
    ],
)
def test_what_is_not_allowed_is_refused_in_one_line(pole: Pole, line: str, said: str) -> None:
    assert said in pole.run(line)


def test_a_phone_in_use_keeps_the_console_logged_in_and_a_pocketed_one_does_not(pole: Pole) -> None:
    def use() -> None:
        # Past the time without a key press, with a phone in use.
        pole.rig.clock.advance_s(590)
        assert pole.phone is not None
        assert pole.phone.request("GET", "/api/session").status == 200
        pole.rig.context.page_switch.is_on()
        pole.rig.clock.advance_s(20)

    def pocket() -> None:
        assert "No key was pressed" not in pole.screen
        pole.rig.clock.advance_s(700)

    # The service reports use once in 10 s of its own time: the login counts as use here.
    screen = pole.run(f"page on {pole.port}", silence_s=6, at_prompt=(pole.log_in, use, pocket))
    assert "No key was pressed for 600 s." in screen
    assert ("amina", "idle logout") in pole.rig.receipts
    pole.wait_until_closed()


def test_a_unit_that_dies_is_reported(pole: Pole) -> None:
    def kill() -> None:
        assert pole.unit.process is not None
        pole.unit.process.kill()
        pole.unit.process.wait(TIMEOUT_S)

    screen = pole.run(f"page on {pole.port}", silence_s=4, at_prompt=(kill,))
    assert "The page is off: its unit has ended." in screen


READY = PageReady(fingerprint="ab" * 32, token="k3v7qd2m5xwz4n6rjt2yahbc7e")  # noqa: S106
JOINED = PageJoined(address="192.168.4.20", sessions=1)


@pytest.mark.parametrize(
    ("reports", "said"),
    [
        ((READY, JOINED, PageEnded()), "The page is off: its time is over."),
        ((READY, HEADER.pack(1, 0) + b"\xc1"), "The page is off: its unit has ended."),
        ((READY, b"x" * 10_000), "The page is off: its unit has ended."),
        ((READY, JOINED, JOINED), "The page is off: its unit has ended."),
        (
            (READY, PageJoined(address="10.0.0.1; reboot", sessions=1)),
            "The page is off: its unit has ended.",
        ),
        (
            (PageReady(fingerprint=READY.fingerprint, token="a" * 3000),),
            "the page is not on: no answer",
        ),
        ((PageRefused(reason="port 8443: Address already in use"),), "port 8443: Address already"),
        ((), "the page is not on: no answer"),
    ],
)
def test_the_console_reports_how_the_page_ends(
    clock: ManualClock,
    tmp_path_factory: pytest.TempPathFactory,
    reports: tuple[PageReport | bytes, ...],
    said: str,
) -> None:
    """The service is played by the test: it may end, and it may lie."""
    rig = ConsoleRig(clock, tmp_path_factory.mktemp("pole"))
    (rig.root / page_wire.ACTS_DIR).mkdir(parents=True)
    (rig.root / "sys/class/net/lo").mkdir(parents=True)
    has_reported = threading.Event()

    def play_service(connection: socket.socket) -> None:
        connection.recv(page_wire.MAX_MESSAGE_BYTES)
        for report in reports:
            data = report if isinstance(report, bytes) else pack_message(report)
            connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)
        has_reported.set()

    with page_service(rig.root, play_service):

        def wait_for_reports() -> bool:
            if not rig.line.input_chunks:
                has_reported.wait(TIMEOUT_S)
            return False

        rig.line.on_read = wait_for_reports
        screen = rig.run_logged_in("page on", silence_s=4)
    assert said in " ".join(screen.split())
    # A link logs one phone in, whatever the service reports.
    joined = [action for _, action in rig.receipts if action.startswith("page: ")]
    assert joined == ["page: a phone at 192.168.4.20 is logged in"] * (JOINED in reports)
    assert screen.count("The page: a phone at 192.168.4.20 is logged in.") == len(joined)


def test_a_unit_that_floods_its_console_neither_holds_it_nor_outlives_its_time(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("pole")
    (folder / "vigie.toml").write_text(CONFIG_TEXT)
    root = make_root(folder / "root")
    now_ns = [0]
    receipts: list[str] = []
    switch = PageSwitch(root, folder / "vigie.toml", lambda: now_ns[0], receipts.append)
    has_ended = threading.Event()

    def flood_console(connection: socket.socket) -> None:
        connection.recv(page_wire.MAX_MESSAGE_BYTES)
        connection.sendall(pack_message(READY))
        with suppress(OSError):
            while True:
                connection.sendall(pack_message(PageUsed()))
        has_ended.set()

    with page_service(root, flood_console):
        switch.turn_on(
            8443, box_id="casa-0001", addresses=("127.0.0.1",), technician="amina", language="en"
        )
        assert all(switch.is_on() for _ in range(5))
        now_ns[0] = int(page_wire.DURATION_S * 1e9) + END_GRACE_NS + 1
        assert not switch.is_on()
        assert str(switch.poll_notice()) == "The page is off: its time is over."
        assert has_ended.wait(TIMEOUT_S)
    assert receipts == []


def page_service(root: Path, serve: Callable[[socket.socket], None]) -> LoopbackServer:
    """A service of the page that a test plays."""
    path = root / page_wire.SOCKET
    return LoopbackServer(serve, listener=socket.create_server(str(path), family=socket.AF_UNIX))


def test_without_the_unit_the_reason_is_shown(clock: ManualClock, tmp_path: Path) -> None:
    rig = ConsoleRig(clock, tmp_path)
    (rig.root / "sys/class/net/lo").mkdir(parents=True)
    assert "run/vigie-page.socket: No such file" in "".join(
        rig.run_logged_in("page on").split("\n")
    )
    (rig.root / page_wire.ACTS_DIR).mkdir(parents=True)
    assert "No such file or directory" in " ".join(rig.run_logged_in("page on").split())


def test_a_box_without_an_address_is_not_turned_on(clock: ManualClock, tmp_path: Path) -> None:
    rig = ConsoleRig(clock, tmp_path)
    assert "none of the box's addresses is of a private network" in rig.run_logged_in("page on")


def test_without_a_receipt_the_page_stays_off(pole: Pole) -> None:
    pole.rig.break_custody_log()
    assert "It is not done without a receipt." in pole.run(f"page on {pole.port}")
    assert pole.port not in listening_ports()


@pytest.fixture
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolePageBox]:
    folder = tmp_path_factory.mktemp("pole")
    (folder / "vigie.toml").write_text(CONFIG_TEXT)
    made = PolePageBox(folder, make_root(folder / "root"))
    yield made
    made.close()


def test_with_the_agent_dead_the_checks_work_and_with_the_console_gone_nothing(
    box: PolePageBox,
) -> None:
    box.turn_on()
    phone = box.logged_in_phone()
    session = msgspec.json.decode(phone.request("GET", "/api/session").body)
    assert session["agent"]["state"] == "dead"
    refused = phone.act("jog", {"head": "mast", "pan": 0.5})
    assert (refused.status, refused.error) == (409, "agent_down")
    lines = phone.act("check", {"numbers": [5]}).body.splitlines()
    (check,) = map(msgspec.json.decode, lines)
    assert (check["number"], check["results"][0]["ok"]) == (5, False)
    act_server = box.switch._act_server
    assert act_server is not None
    os.kill(act_server.pid, signal.SIGKILL)
    os.waitid(os.P_PID, act_server.pid, os.WEXITED | os.WNOWAIT)
    gone = phone.act("status")
    assert (gone.status, gone.error) == (503, "acts")
    box.switch.turn_off()
    with pytest.raises(ConsoleError, match="the page is off"):
        box.switch.new_link()
