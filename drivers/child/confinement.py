"""Limits of a child that reads a foreign device: memory, files, TCP ports, system calls."""

import contextlib
import resource
import sys
import threading
from pathlib import Path

import msgspec

from drivers.child import landlock, syscall_filter
from drivers.child.main import ChildEnd
from drivers.child.messages import MAX_SIDE_PX, SLOT_COUNT, frame_bytes
from drivers.child.process import MAX_OPEN_FILES
from drivers.errors import DriverError

MAX_FILE_BYTES = frame_bytes(MAX_SIDE_PX, MAX_SIDE_PX) * SLOT_COUNT
"""The memory of frames is a file."""
THREAD_STACK_BYTES = 2_097_152
"""A stack counts as memory; glibc's default is 8 MB for each thread."""

OOM_SCORE = "500"
"""If the box runs out of memory the kernel kills a child before the agent, which has -500."""

RESOLVER_FILE = Path("/etc/resolv.conf")
"""A link into a folder of the resolver's own, in which it replaces the file."""
READABLE_PATHS = (
    # The interpreter's and the libraries' files; nothing of the box is there.
    "/usr",
    "/lib",
    "/lib64",
    # What the resolver of names reads.
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/dev/urandom",
)


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a child.

    `memory_bytes` is private memory on top of the loaded libraries'. `tcp_ports` are those
    that it may connect to, and `readable_files` those that it may read in addition to READABLE_PATHS. `cpu_s`, for a child with one short task, ends it by SIGXCPU.
    With `writable_folders` it writes, renames and deletes files in them, of `file_bytes` each at most. `decoder_devices` are
    the V4L2 decoders that it may use.
    """

    memory_bytes: int
    network: syscall_filter.Network = "none"
    tcp_ports: tuple[int, ...] = ()
    readable_files: tuple[str, ...] = ()
    writable_folders: tuple[str, ...] = ()
    decoder_devices: tuple[str, ...] = ()
    file_bytes: int = MAX_FILE_BYTES
    cpu_s: int | None = None


def confine(confinement: Confinement, end: ChildEnd) -> None:
    """Give up the rest, for ever. Call it while the process has one thread. Raises: OSError.

    A system call that is not in the list ends the process as a failure, which names the call.
    """

    def fail(call: str) -> None:
        text = f"{end.display_name}: its process called {call}(2), which is not in its list of system calls"
        end.fail(DriverError("crashed", text))

    end_before_agent()
    memory_bytes = _data_bytes() + confinement.memory_bytes
    limits = {
        resource.RLIMIT_DATA: memory_bytes,
        resource.RLIMIT_FSIZE: confinement.file_bytes,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    if confinement.cpu_s is not None:
        limits[resource.RLIMIT_CPU] = confinement.cpu_s
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))
    threading.stack_size(THREAD_STACK_BYTES)
    sys.dont_write_bytecode = True
    readable = (*_readable_paths(), *map(Path, confinement.readable_files))
    writable = tuple(map(Path, confinement.writable_folders))
    devices = tuple(map(Path, confinement.decoder_devices))
    landlock.restrict(readable, writable, confinement.tcp_ports, devices)
    syscall_filter.allow_listed(
        confinement.network, fail, writes_files=bool(writable), uses_decoder=bool(devices)
    )


def end_before_agent() -> None:
    """Have the kernel kill this process first if memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")


def _readable_paths() -> tuple[Path, ...]:
    """Return the paths to read: those that are named, and the interpreter's own."""
    resolver_file = RESOLVER_FILE.resolve()
    is_linked = resolver_file != RESOLVER_FILE
    paths = (Path(path).resolve() for path in (*READABLE_PATHS, sys.prefix, *sys.path) if path)
    return (*paths, resolver_file.parent if is_linked else resolver_file)


def _data_bytes() -> int:
    """Return the private writable memory of this process: proc(5), VmData."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmData:")[2].split()[0]) * 1024
