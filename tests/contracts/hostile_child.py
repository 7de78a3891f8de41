"""A child that was taken over: it does what its settings name, in the place of a real one.

As the child of an `rtsp` camera it takes the misdeed from the path of the address, as that of an ONVIF
camera it never answers, and for `test_child_confinement` it tries what its Misdeed names and reports the result.
"""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from drivers.child import messages
from drivers.child.confinement import Confinement, confine
from drivers.child.main import ChildEnd
from drivers.media import NS_PER_S, Packet, StreamInfo
from drivers.onvif.operations import OnvifSettings
from drivers.stream_child import StreamOptions

MEMORY_BYTES = 33_554_432
PTRACE_ATTACH = 16  # sys/ptrace.h
Deed = Literal[
    "fork",
    "unix",
    "allocate",
    "connect",
    "crash",
    "execute",
    "listen",
    "open",
    "signal",
    "spin",
    "trace",
    "wait",
    "write",
]


class Misdeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    deed: Deed
    argument: str = ""
    tcp_ports: tuple[int, ...] = ()
    cpu_s: int | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, tag="outcome"):
    text: str


def prepare() -> None:
    pass


def run(end: ChildEnd) -> None:
    try:
        misdeed = messages.from_raw(end.settings, Misdeed)
    except msgspec.ValidationError:
        pose(end)
        return
    confine(
        Confinement(memory_bytes=MEMORY_BYTES, tcp_ports=misdeed.tcp_ports, cpu_s=misdeed.cpu_s)
    )
    try:
        DEEDS[misdeed.deed](misdeed.argument)
        text = "done"
    except OSError as error:
        text = type(error).__name__
    end.send(Outcome(text=text))
    threading.Event().wait()


def allocate(_target: str) -> None:
    kept = []
    while True:
        kept.append(bytearray(100_000))


def spin(_target: str) -> None:
    while True:
        pass


def fork(_target: str) -> None:
    if os.fork() == 0:
        os._exit(0)


def connect_unix(target: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(target)


def trace(target: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, int(target), None, None):
        raise OSError(ctypes.get_errno(), "ptrace")


DEEDS: dict[Deed, Callable[[str], object]] = {
    "allocate": allocate,
    "connect": lambda port: socket.create_connection(("127.0.0.1", int(port)), timeout=2).close(),
    "crash": lambda _: ctypes.string_at(0),
    "fork": fork,
    "unix": connect_unix,
    "execute": lambda path: subprocess.run([path], check=True),
    "listen": lambda _: socket.create_server(("127.0.0.1", 0)).close(),
    "open": lambda path: Path(path).read_bytes(),
    "signal": lambda pid: os.kill(int(pid), 0),
    "spin": spin,
    "trace": trace,
    "wait": lambda _: None,
    "write": lambda path: Path(path).write_bytes(b"x"),
}


def pose(end: ChildEnd) -> None:
    """Speak the protocol of a real child, and break it."""
    try:
        messages.from_raw(end.settings, OnvifSettings)
        media = messages.from_raw(end.settings, messages.MediaSettings)
    except msgspec.ValidationError:
        threading.Event().wait()
        return
    misdeed = messages.from_raw(media.options, StreamOptions).url.rpartition("/")[2]
    memory_fd = end.memory_fds[0]
    os.ftruncate(memory_fd, 0 if misdeed == "shrunk-memory" else 4 * 4 * 2 * 3)
    side_px = 100_000 if misdeed == "wrong-size" else 4
    end.send(
        messages.Opened(
            info=StreamInfo(codec="h264", width_px=4, height_px=2, fps=25.0),
            frame_width_px=side_px,
            frame_height_px=2,
            slots=4,
        )
    )
    if misdeed == "frame-elsewhere":
        end.send(messages.FrameReady(slot=4, seq=0, t_ns=0))
    if misdeed == "keyframe-unasked":
        end.send(messages.KeyframeQuery(number=1, slot=0, t_ns=0))
    if misdeed == "loading-unasked":
        end.send(messages.Loading(done_bytes=1, total_bytes=10))
    packet = Packet(
        t_ns=2**62 if misdeed == "time-of-tomorrow" else 0,
        pts_ns=NS_PER_S,
        dts_ns=0,
        is_key=True,
        data=b"x" * (20_000_000 if misdeed == "endless-packet" else 1),
    )
    end.send(messages.EncodedPacket(packet=packet))
    threading.Event().wait()
