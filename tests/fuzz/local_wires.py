"""Sockets between the processes of a box: requests to the agent, and those of the page at the pole."""

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
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
from agent.console.act_wire import ActError, ActReply, ActRequest, exchange
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
from drivers.local_wire import (
    HEADER,
    LocalConnection,
    MalformedMessage,
    MessageDecoder,
    connect,
    pack_message,
)
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
CONTROL_REQUESTS = (
    LocalCommand(verb="ptz", args={"op": "stop", "head": "mast"}, by="amina"),
    ClipRequest(camera="north", segments=("a.mp4",), begin_ns=0, end_ns=1),
    PreviewRequest(camera="north", by="amina"),
    SceneRequest(do="undo", by="amina"),
    DayNightRequest(camera="north", by="amina", mode="night"),
)
REPLY_DECODER = MessageDecoder(ActReply)
TIMEOUT_S = 60.0
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
def _act_server() -> tuple[Path, ExitStack]:
    """The socket of an act server at a box without an agent. Its clock does not advance: receipts are bounded.

    The stack holds the lanes that are busy.
    """
    clock, folder = ManualClock(), make_work_dir()
    rig = ConsoleRig(clock, folder)
    rig.context.technician = "amina"
    lanes = Lanes(rig.config_path, lambda: rig.context)
    act_listener.LANE_WAIT_S = 0.0
    path = folder / "acts.sock"
    listener = ActListener(path, lanes, ActState(clock, "en"), clock.boottime_ns)
    threading.Thread(target=listener.run, daemon=True).start()
    held = ExitStack()
    for lane in BUSY_LANES:
        held.enter_context(lanes.hold(lane))  # type: ignore[arg-type] # a lane
    return path, held


@contextmanager
def _connected(data: bytes) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection, at one end of which the data has come, with an end after it."""
    near, far = socket.socketpair()
    with near, far:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        near.sendall(data)
        near.shutdown(socket.SHUT_WR)
        yield near, far


def run_local_message(data: bytes) -> None:
    """Read messages of any type: each is within its bounds, or one line says why not."""
    with _connected(data) as (_, near), LocalConnection(near, MAX_REQUEST, 1) as reader:
        try:
            while (message := reader.receive_bytes(0.0)) is not None:
                assert len(message) <= MAX_REQUEST
        except MalformedMessage as error:
            check_one_line(error)


def run_control_request(data: bytes) -> None:
    """Decode a request as the agent does: it is of one type, or one line says why not."""
    try:
        assert CONTROL_DECODER.decode(data)
    except MalformedMessage as error:
        check_one_line(error)


def run_act_request(data: bytes) -> None:
    """Serve a request: it has an answer, whose error is one of the wire's, in one line."""
    path, _ = _act_server()
    has_file, body = data.startswith(FILE_MARK), data.removeprefix(FILE_MARK)
    sent = HEADER.pack(len(body), has_file) + body
    with Path(os.devnull).open("rb") as file, connect(path, TIMEOUT_S, 1 << 22, 1) as phone:
        phone.socket.settimeout(TIMEOUT_S)
        with suppress(BrokenPipeError):
            begun = socket.send_fds(phone.socket, [sent], [file.fileno()] if has_file else [])
            phone.socket.sendall(sent[begun:])
        replies = list(iter(lambda: phone.receive(REPLY_DECODER, TIMEOUT_S), None))
    error = replies[-1].error
    if error is not None:
        assert "\n" not in error.message
        assert error.message != "the act server failed at it"


def run_act_reply(data: bytes) -> None:
    """Read replies as the web process does: each is whole, or the connection counts as ended."""
    request = ActRequest(act="status", args=b"{}", language="en")
    sent = HEADER.pack(len(data), 0) + data
    with _connected(sent) as (_, near), LocalConnection(near, 1 << 22, 1) as web_process:
        try:
            for reply in exchange(web_process, request, TIMEOUT_S):
                assert reply.fd is None
                assert escape_json(reply.value).isascii()
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


def _local_messages() -> list[bytes]:
    return [pack_message(request) for request in CONTROL_REQUESTS] + _page_reports()


def _control_requests() -> list[bytes]:
    return [msgspec.msgpack.encode(request) for request in CONTROL_REQUESTS]


def _act_requests() -> list[bytes]:
    bodies: list[bytes] = []
    for name, act in ACTS.items():
        size = min(5, act.upload_max_bytes)
        args = msgspec.json.encode(ARGS.get(name, {}))
        request = ActRequest(act=name, args=args, language="fr", upload_bytes=size)
        bodies.append((FILE_MARK if size else b"") + msgspec.msgpack.encode(request))
    return bodies


def _act_replies() -> list[bytes]:
    refused = ActError(code="refused", message="no such camera", fault="CAM-02")
    return [
        msgspec.msgpack.encode(reply)
        for reply in (
            ActReply(value=b'{"text":"pass"}'),
            ActReply(value=b'{"level":{"text":"\\u0639"}}', jpeg=b"\xff\xd8"),
            ActReply(error=refused),
        )
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
    "local_message": FuzzTarget(run_local_message, _local_messages),
    "control_request": FuzzTarget(run_control_request, _control_requests),
    "act_request": FuzzTarget(run_act_request, _act_requests, mutations=300),
    "act_reply": FuzzTarget(run_act_reply, _act_replies),
    "page_report": FuzzTarget(run_page_report, _page_reports),
}
