"""A child that was taken over: it does what its settings name, in the place of a real one.

As the child of an `rtsp` camera it takes the misdeed from the path of the address, as that of an ONVIF
camera it never answers, and for `test_child_confinement` it tries what its Misdeed names and reports the result.
"""

import ctypes
import os
import resource
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from agent.clips.clip_child import making_confinement, uploading_confinement
from agent.clips.clip_task import ClipTask, MakeTask
from agent.rehearsal import rehearsal_child
from agent.rehearsal.rehearsal_task import RehearsalTask
from drivers.child import messages, syscall_filter
from drivers.child.confinement import Confinement, confine
from drivers.child.main import ChildEnd
from drivers.child.syscall_filter import Network
from drivers.local_wire import pack_message
from drivers.media import NS_PER_S, Packet, StreamInfo
from drivers.onvif.operations import OnvifSettings
from drivers.stream_child import StreamOptions

MEMORY_BYTES = 33_554_432
PTRACE_ATTACH = 16  # sys/ptrace.h
IPPROTO_MPTCP = 262  # linux/in.h
SYS_SOCKET = {"x86_64": 41, "aarch64": 198}  # asm/unistd.h
Deed = Literal[
    "fork",
    "unix",
    "wide unix",
    "allocate",
    "attribute",
    "call",
    "command",
    "command by a fork",
    "connect",
    "crash",
    "execute",
    "fast open",
    "limit",
    "list",
    "listen",
    "mode",
    "multipath",
    "open",
    "owner",
    "pair",
    "parent",
    "priority",
    "resolve",
    "sctp",
    "signal",
    "spin",
    "times",
    "trace",
    "user",
    "wait",
    "write",
]


class Misdeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    deed: Deed
    argument: str = ""
    is_confined: bool = True
    has_libseccomp: bool = True
    network: Network = "client"
    clip: ClipTask | None = None
    rehearsal: RehearsalTask | None = None
    """It is confined as the child of this task."""
    tcp_ports: tuple[int, ...] = ()
    decoder_devices: tuple[str, ...] = ()
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
    if not misdeed.has_libseccomp:
        syscall_filter._LIBRARY = "none"
    if isinstance(misdeed.clip, MakeTask):
        confine(making_confinement(misdeed.clip), end)
    elif misdeed.clip is not None:
        confine(uploading_confinement(misdeed.clip), end)
    elif misdeed.rehearsal is not None:
        confine(rehearsal_child.confinement(misdeed.rehearsal), end)
    elif misdeed.is_confined:
        confine(
            Confinement(
                memory_bytes=MEMORY_BYTES,
                network=misdeed.network,
                tcp_ports=misdeed.tcp_ports,
                decoder_devices=misdeed.decoder_devices,
                cpu_s=misdeed.cpu_s,
            ),
            end,
        )
    try:
        answer = DEEDS[misdeed.deed](misdeed.argument)
        text = answer if isinstance(answer, str) else "done"
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


def command(target: str) -> str:
    """Send a request to the agent's control socket; return its answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(target)
        with suppress(BrokenPipeError):  # it is refused already
            client.sendall(pack_message({"method": "move"}))
        return repr(client.recv(1000))


def command_by_fork(target: str) -> str:
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.write(write_end, command(target).encode())
        os._exit(0)
    return os.read(read_end, 1000).decode()


def trace(target: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, int(target), None, None):
        raise OSError(ctypes.get_errno(), "ptrace")


def connect_wide_unix(target: str) -> None:
    """Connect to a Unix socket of a family that is AF_UNIX in its low 32 bits."""
    libc = ctypes.CDLL(None, use_errno=True)
    number, family = SYS_SOCKET[os.uname().machine], 2**32 + socket.AF_UNIX
    words = (ctypes.c_long(word) for word in (number, family, socket.SOCK_STREAM, 0))
    if (descriptor := libc.syscall(*words)) < 0:
        raise OSError(ctypes.get_errno(), "socket")
    with socket.socket(socket.AF_UNIX, fileno=descriptor) as client:
        client.connect(target)


def connect_by(protocol: int, port: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as client:
        client.connect(("127.0.0.1", int(port)))


def send_by_pair(target: str) -> None:
    with socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0] as end:
        end.connect(target)
        end.send(b"WATCHDOG=1")


def call(words: str) -> None:
    """Call the kernel: the name of a call, and its arguments."""
    name, *arguments = words.split()
    number = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name(name.encode())
    padded = [*map(int, arguments), 0, 0, 0, 0, 0, 0][:6]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*(ctypes.c_long(word) for word in (number, *padded))) < 0:
        raise OSError(ctypes.get_errno(), name)


def connect_by_fast_open(port: str) -> None:
    with socket.socket() as client:
        client.sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", int(port)))


DEEDS: dict[Deed, Callable[[str], object]] = {
    "allocate": allocate,
    "attribute": lambda path: os.setxattr(path, "user.vigie", b"x"),
    "call": call,
    "command": command,
    "command by a fork": command_by_fork,
    "connect": lambda port: socket.create_connection(("127.0.0.1", int(port)), timeout=2).close(),
    "crash": lambda _: ctypes.string_at(0),
    "fork": fork,
    "unix": connect_unix,
    "user": lambda _: str(os.getuid()),
    "wide unix": connect_wide_unix,
    "execute": lambda path: subprocess.run([path], check=True),
    "fast open": connect_by_fast_open,
    "limit": lambda pid: resource.prlimit(int(pid), resource.RLIMIT_CPU, (1, 1)),
    "list": os.listdir,
    "listen": lambda _: socket.create_server(("127.0.0.1", 0)).close(),
    "mode": lambda path: Path(path).chmod(0o666),
    "multipath": partial(connect_by, IPPROTO_MPTCP),
    "open": lambda path: Path(path).read_bytes(),
    "owner": lambda path: os.chown(path, os.geteuid(), os.getegid()),
    "pair": send_by_pair,
    "parent": lambda _: str(os.getppid()),
    "priority": lambda pid: os.setpriority(os.PRIO_PROCESS, int(pid), 19),
    "resolve": lambda name: socket.getaddrinfo(name, 80),
    "sctp": partial(connect_by, socket.IPPROTO_SCTP),
    "signal": lambda pid: os.kill(int(pid), 0),
    "spin": spin,
    "times": lambda path: os.utime(path, (0, 0)),
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
    if misdeed == "decoder-unasked":
        end.send(messages.DecoderFailed(reason="there is none"))
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
