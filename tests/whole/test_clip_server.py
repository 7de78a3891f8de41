"""agent.recording.export.clip_server: the running agent cuts clips of its encrypted footage; after a
restart it cannot, and an invalid request neither gets anything nor stops it.
"""

import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import av
import msgspec
import pytest

from agent.__main__ import main
from agent.base.clock import SystemClock, unix_ns
from agent.base.model import CommandRefused
from agent.recording.encryption.keys import KeyLookup, generate_key_pair
from agent.recording.export.clip import ClipError
from agent.recording.export.clip_request import MAX_CLIP_SEGMENTS, ClipRequest
from agent.recording.export.clip_server import ClipHandler, request_clip
from agent.recording.export.verify import verify_export
from agent.runtime.control_socket import LIMITS, SOCKET_NAME, ControlSocket
from agent.runtime.stage import StageThread
from drivers.local_wire import HEADER, MessageDecoder, connect, pack_message
from tests.conftest import ManualClock
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import AgentBox
from tests.whole.test_footage_while_recording import wait_for_segments

NAME = "0000000001_1f155cfd_000000001000_20261125T013215.250Z.mp4"
BEGIN_NS = unix_ns(datetime(2026, 11, 25, 1, 32, 15, 250_000, tzinfo=UTC))
REQUEST = ClipRequest(
    camera="north", segments=(NAME,), begin_ns=BEGIN_NS, end_ns=BEGIN_NS + 1_000_000_000
)
REFUSAL_DECODER = MessageDecoder(CommandRefused)


def change(**fields: object) -> bytes:
    """The request as a message, with other fields."""
    return pack_message(msgspec.to_builtins(REQUEST) | fields, 1)


HOSTILE = {
    "nothing": b"",
    "garbage": b"\x00\xff\x80garbage\n",
    "no end": change()[:-1],
    "two requests": change() * 2,
    "deep": HEADER.pack(50_000, 1) + b"\x91" * 50_000,
    "huge": change(camera="n" * 8 * LIMITS.max_request_bytes),
    "another field": change(out="/etc/passwd"),
    "a number for a name": change(camera=7),
    "no segments": change(segments=[]),
    "too many segments": change(segments=[""] * (MAX_CLIP_SEGMENTS + 1)),
    "a negative time": change(begin_ns=-1),
    "a time beyond": change(end_ns=2**63),
    "another camera": change(camera="south"),
    "a camera that is a path": change(camera="../footage/north"),
    "a segment that is a path": change(segments=[f"../north/{NAME}"]),
    "a path to the key": change(segments=["../../identity/box.key"]),
    "a segment's keys": change(segments=[f"{NAME}.keys"]),
    "a name with a zero byte": change(segments=[f"{NAME}\0"]),
    "a segment that is not there": change(),
    "an end before its begin": change(end_ns=BEGIN_NS),
}


def send_request(state: Path, data: bytes, *handles: int, ends: bool = True) -> CommandRefused:
    """Send bytes to the control socket of a state folder, and return its refusal."""
    with connect(state / SOCKET_NAME, 60, 10_000) as connection:
        connection.socket.settimeout(60)
        try:
            sent = socket.send_fds(connection.socket, [data], handles) if data else 0
            connection.socket.sendall(data[sent:])
            if ends:
                connection.socket.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has received enough
        answer = connection.receive(REFUSAL_DECODER, 60)
    assert answer is not None
    return answer


class Export:
    """`vigie footage export` of a box, with its JSON output."""

    def __init__(self, box: AgentBox, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.out = out
        where = ["--config", str(box.folder / "vigie.toml"), "--camera", "north"]
        span = ["--from", "-10m", "--to", "now"]
        words = ["--out", str(out), "--by", "me", "--purpose", "a test", "--json"]
        capsys.readouterr()
        assert main(["footage", "export", *where, *span, *words]) == 0
        self.message = json.loads(capsys.readouterr().out)
        self.first_problem = verify_export(out).first_problem

    def pictures(self) -> int:
        """How many pictures of the clip decode."""
        with av.open(str(self.out / "clip.mp4")) as container:
            return sum(1 for _ in container.decode(video=0))


@pytest.mark.slow
def test_a_running_box_cuts_clips_of_encrypted_footage_until_a_power_cycle(
    box: AgentBox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public_key = generate_key_pair(tmp_path / "centre.pem")
    config = box.folder / "vigie.toml"
    config.write_text(
        f'{config.read_text()}[record]\nsegment_s = 1.0\n[[record.recipient]]\nid = "centre"\n'
        f'public_key = "{public_key}"\n'
    )
    state = box.folder / "state"
    box.start()
    wait_for_segments(state, 3)
    door = (state / SOCKET_NAME).stat()
    assert stat.S_ISSOCK(door.st_mode)
    assert stat.S_IMODE(door.st_mode) == 0o600

    running = Export(box, tmp_path / "running", capsys)
    assert running.message["no_clip_reason"] is None
    assert running.first_problem is None
    assert running.pictures() > 0
    chain = b"".join(file.read_bytes() for file in sorted((state / "custody").glob("*.chain")))
    viewed, exported = chain.index(b'"kind":"viewed"'), chain.index(b'"kind":"exported"')
    assert viewed < exported, "who looks is in the chain before he sees anything"
    assert b"of user %d" % os.geteuid() in chain
    assert list(running.message["clip"]["segments"]) == running.message["segments"]
    assert not (running.out / "keys").exists()
    sealed = len(list((running.out / "segments").glob("*.mp4.keys")))
    assert sealed == len(running.message["segments"]) >= 3

    for data in HOSTILE.values():
        with (tmp_path / "hostile").open("wb") as out:
            assert send_request(state, data, out.fileno()).message
        assert (tmp_path / "hostile").stat().st_size == 0
    again = Export(box, tmp_path / "again", capsys)
    assert again.message["no_clip_reason"] is None

    box.stop(signal.SIGKILL)
    power_off = Export(box, tmp_path / "off", capsys)
    box.start()
    segments = len(list((state / "footage" / "north").glob("*.mp4")))
    wait_for_segments(state, segments + 1)
    later = Export(box, tmp_path / "later", capsys)
    for export in (power_off, later):
        assert export.message["clip"] is None
        assert "sealed, and its key is not available" in export.message["no_clip_reason"]
        assert export.first_problem is None
        assert not (export.out / "clip.mp4").exists()
        assert set(running.message["segments"]) <= set(export.message["segments"])
    assert box.stop(signal.SIGTERM) == 0
    assert not (state / SOCKET_NAME).exists()
    assert "Traceback" not in box.log


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of a desk that is open, by a name that is too long for a socket's."""
    state = tmp_path_factory.mktemp("state") / ("long" * 30)
    state.mkdir()
    keys: dict[str, KeyLookup] = {"north": lambda _kid: None}
    clips = ClipHandler(
        state / "footage", keys, ManualClock().boottime_ns, lambda _requested, _by: None
    )
    control = ControlSocket(state, SystemClock().boottime_ns)
    stages = (control, control.add_blocking_method("clips", ClipRequest, clips.handle))
    threads = [
        StageThread(stage, SystemClock().boottime_ns, random.Random(1), vital=False)
        for stage in stages
    ]
    for thread in threads:
        thread.start()
    wait_until((state / SOCKET_NAME).exists)
    yield state
    for thread in threads:
        thread.stop()
        assert thread.join(60)
        assert thread.health().last_error is None
    assert not (state / SOCKET_NAME).exists()


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_an_invalid_clip_request_is_rejected_with_a_message(
    desk: Path, tmp_path: Path, data: bytes
) -> None:
    with (tmp_path / "out").open("wb") as out:
        answer = send_request(desk, data, out.fileno())
    assert answer.message
    assert answer.message != "the agent failed at it"


def test_a_silent_client_times_out(desk: Path, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        answer = send_request(desk, change()[:20], out.fileno(), ends=False)
    assert "no whole request" in answer.message


def test_only_an_empty_writable_file_is_accepted(desk: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.write_text("mine")
    (tmp_path / "empty").touch()
    reader, writer = os.pipe()
    folder = os.open(tmp_path, os.O_RDONLY)
    read_only = os.open(tmp_path / "empty", os.O_RDONLY)
    path_only = os.open(tmp_path / "empty", os.O_PATH)
    with full.open("r+b") as file:
        handles = (file.fileno(), reader, writer, folder, read_only, path_only)
        for handle in handles:
            answer = send_request(desk, change(), handle)
            assert NAME not in answer.message
    assert "no open file" in send_request(desk, pack_message(REQUEST)).message
    assert full.read_text() == "mine"
    for handle in handles[1:]:
        os.close(handle)


OTHER_USER = f"""
import os, socket, sys
os.chdir(sys.argv[1])
os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
try:
    connection.connect("{SOCKET_NAME}")
except PermissionError:
    print("closed")
else:
    print(connection.recv(1000))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_can_neither_connect_nor_get_a_clip(desk: Path) -> None:
    words = [sys.executable, "-c", OTHER_USER, str(desk)]
    assert subprocess.check_output(words, text=True) == "closed\n"
    (desk / SOCKET_NAME).chmod(0o666)
    try:
        message = subprocess.check_output(words, text=True)
    finally:
        (desk / SOCKET_NAME).chmod(0o600)
    assert "user 65534 may not ask" in message


def test_an_incomplete_clip_file_is_removed(desk: Path, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="No such file"):
        request_clip(desk, REQUEST, tmp_path / "out.mp4")
    many = msgspec.structs.replace(REQUEST, segments=(NAME,) * (MAX_CLIP_SEGMENTS + 1))
    with pytest.raises(ClipError, match="a shorter span"):
        request_clip(desk, many, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_without_an_agent_no_clip_is_requested(tmp_path: Path) -> None:
    assert request_clip(tmp_path, REQUEST, tmp_path / "out.mp4") is None
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / SOCKET_NAME))
    assert request_clip(tmp_path, REQUEST, tmp_path / "out.mp4") is None
    assert not (tmp_path / "out.mp4").exists()
