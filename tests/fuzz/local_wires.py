"""Sockets between the processes of a box: requests to the agent, and those of the page at the pole."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import msgspec

from agent.base.json_decode import MalformedJson
from agent.capture.day_night import DayNightRequest
from agent.capture.preview import PreviewRequest
from agent.commands.local_command import LocalCommand
from agent.config_change.scene_request import SceneRequest
from agent.console import act_listener, page_wire
from agent.console.act_listener import ActListener, Lanes
from agent.console.act_wire import ReplyLine, _read_replies
from agent.console.acts.act import ActState
from agent.console.acts.act_table import ACTS
from agent.console.page_switch import PageSwitch
from agent.console.page_wire import (
    PageEnded,
    PageJoined,
    PageLink,
    PageReady,
    PageRefused,
    PageUsed,
)
from agent.pole_page.act_calls import escape_json
from agent.recording.export.clip_request import ClipRequest
from agent.runtime.control_socket import LIMITS
from drivers.local_wire import LocalConnection, MalformedMessage, MessageDecoder, pack_message
from tests.conftest import ManualClock
from tests.fuzz.target import FuzzTarget, check_one_line, make_work_dir
from tests.parts.console_rig import ConsoleRig

FILE_MARK = b"\1"
"""The first byte of a request that an open file comes along with."""
BUSY_LANES = ("picture", "work", "upload")
"""Their acts read cameras, the network and files: they are refused, after their arguments are checked."""
MAX_REQUEST = LIMITS.max_request_bytes
CONTROL_DECODER: MessageDecoder[
    LocalCommand | SceneRequest | ClipRequest | PreviewRequest | DayNightRequest
] = MessageDecoder(LocalCommand | SceneRequest | ClipRequest | PreviewRequest | DayNightRequest)
CAMERA, HEAD, BOX = {"camera": "north"}, {"head": "mast"}, {"box": "casa-0001"}
ARGS: Mapping[str, Mapping[str, object]] = {
    "check": {"numbers": [1, 16]},
    "mqtt_ping": {"count": 2},
    "fault": {"code": "CAM-01"},
    "picture": {**CAMERA, "view": "night", "max_bytes": 60_000},
    "focus_reset": CAMERA,
    "aim": CAMERA,
    "aim_reference": CAMERA,
    "day_night": CAMERA,
    "jog": {**HEAD, "pan": 0.5, "tilt": -1.0, "zoom": 0.0},
    "head_stop": HEAD,
    "goto": {**HEAD, "pan_deg": 10.5, "tilt_deg": -5.0},
    "preset_set": {**HEAD, "preset": "gate"},
    "preset_delete": {**HEAD, "preset": "gate"},
    "tour_start": {**HEAD, "tour": "round"},
    "tour_stop": HEAD,
    "aux": {**HEAD, "aux": "ir", "on": True},
    "scene": CAMERA,
    "scene_check": {**CAMERA, "toml": "[[mask]]"},
    "scene_try": {**CAMERA, "toml": "[[mask]]", "minutes": 5},
    "commission_picture": {**CAMERA, "item": "ground"},
    "commission_photo": {"title": "the mast"},
    "commission_photo_remove": {"photo": 1},
    "commission_sign": {
        "answers": [{"id": 1, "good": False, "note": "bent"}],
        "notes": "mast 7",
        "serials": ["AX-7"],
    },
    "certificate_photo": {"photo": 1},
    "update_rollback": BOX,
    "update_good": BOX,
    "reboot": BOX,
}


@cache
def _listener() -> tuple[ActListener, ExitStack]:
    """The act server's listener, at a box without an agent. Its clock does not advance: receipts are bounded.

    The stack holds the lanes that are busy.
    """
    clock, folder = ManualClock(), make_work_dir()
    rig = ConsoleRig(clock, folder)
    rig.context.technician = "amina"
    lanes = Lanes(rig.config_path, lambda: rig.context)
    act_listener.LANE_WAIT_S = 0.0
    listener = ActListener(folder / "acts.sock", lanes, ActState(clock, "en"), clock.boottime_ns)
    held = ExitStack()
    for lane in BUSY_LANES:
        held.enter_context(lanes.hold(lane))  # type: ignore[arg-type] # a lane
    return listener, held


@contextmanager
def _connected(data: bytes, fd: int | None = None) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection, at one end of which the data has come, with an end after it."""
    near, far = socket.socketpair()
    with near, far:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        if data:
            sent = socket.send_fds(near, [data], [] if fd is None else [fd])
            near.sendall(data[sent:])
        near.shutdown(socket.SHUT_WR)
        yield near, far


def run_control_request(data: bytes) -> None:
    """Read requests as the agent does: each is of one type, or one line says why not."""
    has_file, sent = data.startswith(FILE_MARK), data.removeprefix(FILE_MARK)
    with Path(os.devnull).open("rb") as file:
        fd = file.fileno() if has_file else None
        with _connected(sent, fd) as (_, agent), LocalConnection(agent, MAX_REQUEST, 1) as reader:
            try:
                while (request := reader.receive(CONTROL_DECODER, 0.0)) is not None:
                    assert len(reader.take_files()) <= 1
                    assert request
            except MalformedMessage as error:
                check_one_line(error)


def run_act_request(data: bytes) -> None:
    """Serve a request: it has an answer, whose error is one of the wire's, in one line."""
    listener, _ = _listener()
    has_file, line = data.startswith(FILE_MARK), data.removeprefix(FILE_MARK)
    with Path(os.devnull).open("rb") as file:
        fd = file.fileno() if has_file else None
        with _connected(line, fd) as (phone, served):
            assert listener._places.acquire(blocking=False)
            listener._serve(served)
            answer = b"".join(iter(lambda: phone.recv(1 << 20), b""))
    replies = [msgspec.json.decode(one, type=ReplyLine) for one in answer.splitlines()]
    assert replies
    error = replies[-1].error
    if error is not None:
        assert "\n" not in error.message
        assert error.message != "the act server failed at it"


def run_act_reply(data: bytes) -> None:
    """Read replies as the web process does: each is whole, or the connection counts as ended."""
    with _connected(data) as (_, web_process):
        try:
            for reply in _read_replies(web_process):
                assert reply.fd is None
                assert reply.value is None or escape_json(bytes(reply.value)).isascii()
        except (ConnectionError, MalformedJson):
            return


def run_page_report(data: bytes) -> None:
    """Let the unit report to a console that has given out one link: one login at most has a receipt."""
    clock, receipts = ManualClock(), list[str]()
    switch = PageSwitch(
        Path("/nonexistent"), Path("vigie.toml"), clock.boottime_ns, receipts.append
    )
    with _connected(data) as (_, console):
        connection = LocalConnection(console, page_wire.MAX_MESSAGE_BYTES)
        switch._connection, switch._unused_links = connection, 1
        switch._ends_ns = clock.now_ns
        for _ in range(1 + len(data) // 1000):
            if not switch.is_on():
                break
        switch.turn_off()
    assert len(receipts) <= 1
    assert all("\n" not in receipt and len(receipt) < 100 for receipt in receipts)


def _control_requests() -> list[bytes]:
    clip = ClipRequest(camera="north", segments=("a.mp4",), begin_ns=0, end_ns=1)
    return [
        pack_message(LocalCommand(verb="ptz", args={"op": "stop", "head": "mast"}, by="amina")),
        FILE_MARK + pack_message(clip, 1),
        pack_message(PreviewRequest(camera="north", by="amina")) * 2,
        pack_message(SceneRequest(do="undo", by="amina")),
        pack_message(DayNightRequest(camera="north", by="amina", mode="night")),
    ]


def _act_requests() -> list[bytes]:
    lines: list[bytes] = []
    for name, act in ACTS.items():
        size = min(5, act.upload_max_bytes)
        request = {"act": name, "args": ARGS.get(name, {}), "language": "fr", "upload_bytes": size}
        line = msgspec.json.encode(request) + b"\n"
        lines.append(FILE_MARK + line if size else line)
    return lines


def _act_replies() -> list[bytes]:
    return [
        b'{"value":{"text":"pass"}}\n{"value":null}\n',
        b'{"value":{"level":{"text":"\\u0639"}},"jpeg":"/9j/"}\n',
        b'{"error":{"code":"refused","message":"no such camera","fault":"CAM-02"}}\n',
        b'{"value":{"name":"bundle.tar.gz"},"has_file":true}\n',
    ]


def _page_reports() -> list[bytes]:
    token = "a2" * 13
    return [
        pack_message(PageJoined(address="192.168.4.20", sessions=1)) + pack_message(PageUsed()),
        pack_message(PageJoined(address="fe80::/64", sessions=1)) * 2,
        pack_message(PageReady(fingerprint="0f" * 32, token=token)),
        pack_message(PageLink(token=token)) + pack_message(PageEnded()),
        pack_message(PageRefused(reason="the port is taken")),
        pack_message(PageRefused(reason="x" * page_wire.MAX_MESSAGE_BYTES)),
    ]


TARGETS = {
    "control_request": FuzzTarget(run_control_request, _control_requests),
    "act_request": FuzzTarget(run_act_request, _act_requests, mutations=300),
    "act_reply": FuzzTarget(run_act_reply, _act_replies),
    "page_report": FuzzTarget(run_page_report, _page_reports),
}
