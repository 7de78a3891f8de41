"""drivers.child: what a child that was taken over cannot do, and what its parent notices."""

import os
import platform
import random
import re
import resource
import secrets
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.base.clock import SystemClock
from agent.clips.clip_task import MadeFile, MakeTask, UploadProgress, UploadTask
from agent.clips.upload_target import PresignedPut
from agent.rehearsal.rehearsal_task import DetectionSide, RehearsalTask
from agent.runtime.control_client import find_agent
from agent.runtime.control_socket import SOCKET_NAME, ControlSocket
from agent.runtime.local_server import LocalRequest
from agent.runtime.stage import StageThread
from drivers.camera import rtsp
from drivers.child import fork_server, landlock, syscall_filter
from drivers.child.camera import ChildCamera
from drivers.child.connection import ChildConnection
from drivers.child.fork_server import ForkServer
from drivers.child.messages import Failed
from drivers.child.process import ChildStarter, new_interpreter
from drivers.onvif.client import OnvifClient
from drivers.onvif.credentials import OnvifAccess
from tests.contracts.conftest import RtspServer, open_driver, read_media
from tests.contracts.event_camera import running_event_camera
from tests.contracts.hostile_child import MEMORY_BYTES, Misdeed, Outcome
from tests.contracts.peer_memory import children_of, sampled_growth

WITHIN_S = 60.0
CHUNK_BYTES = 1 << 20

CLONE_NEWUSER, CLONE_THREAD = 0x10000000, 0x00010000  # sched.h
F_SETOWN = 8  # fcntl.h
TIOCSTI = 0x5412  # termios.h
PR_SET_PDEATHSIG = 1  # sys/prctl.h
PR_SVE_GET_VL, PR_SME_GET_VL = 51, 64  # sys/prctl.h
ARCH_SET_GS, ARCH_REQ_XCOMP_PERM = 0x1001, 0x1023  # asm/prctl.h of x86
XFEATURE_XTILE_CFG, XFEATURE_XTILE_DATA = 17, 18  # asm/fpu/types.h of x86
SO_ATTACH_FILTER = 26  # sys/socket.h
VIDIOC_QUERYCAP, VIDIOC_EXPBUF, VIDIOC_S_CTRL = 0x80685600, 0xC0405610, 0xC008561C  # videodev2.h

needs_x86 = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="other processors have no such call"
)
needs_libseccomp = pytest.mark.skipif(
    syscall_filter.load_library() is None, reason="needs libseccomp"
)
needs_landlock = pytest.mark.skipif(landlock.abi_version() == 0, reason="needs Landlock")
needs_landlock_of_ports = pytest.mark.skipif(
    landlock.abi_version() < 4, reason="needs Linux 6.7: Landlock with TCP ports"
)


class Attempt:
    """A child that tries something."""

    def __init__(
        self, start_child: ChildStarter, deed: str, argument: object = "", **how: Any
    ) -> None:
        self.outcome: str | None = None
        settings = Misdeed(deed=deed, argument=str(argument), **how)  # type: ignore[arg-type]
        self.connection: ChildConnection[Outcome] = ChildConnection(
            "camera 'test'",
            settings,
            start_child,
            msgspec.msgpack.Decoder(Outcome | Failed),
            self._handle,
        )

    def result(self) -> str | None:
        """The name of the error in the child, `done`, or None if the child failed."""
        self.connection.wait_for(lambda: self.outcome is not None, WITHIN_S)
        return self.outcome

    def refused_call(self) -> str | None:
        """The system call that the child was ended for, or None if there was none."""
        assert self.result() is None
        found = re.search(
            r"its process called (\w+)\(2\), which is not in", str(self.connection.error)
        )
        return None if found is None else found[1]

    def end(self) -> str:
        assert self.connection.end(graceful=False, kill_timeout_s=WITHIN_S)
        return self.connection.describe_child()

    def _handle(self, message: Outcome) -> None:
        self.outcome = message.text


@pytest.fixture
def attempt(hostile_server: ForkServer) -> Iterator[Callable[..., Attempt]]:
    attempts: list[Attempt] = []

    def start(*arguments: Any, **how: Any) -> Attempt:
        attempts.append(Attempt(hostile_server.start_child, *arguments, **how))
        return attempts[-1]

    yield start
    for each in attempts:
        each.end()
    assert children_of(hostile_server) == []


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "device.key"
    path.write_text("a key of the box")
    return path


@pytest.fixture
def making(tmp_path: Path) -> MakeTask:
    """A clip that is being made, in a state folder with a footage file and the secrets of a head."""
    for folder, name in (
        ("footage/north", "one.mp4"),
        ("uploads/one.file.making", "part"),
        ("custody", "lock"),
        ("identity", "box.key"),
        ("heads/north", "tokens.json"),
    ):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).write_text("kept")
    return MakeTask(
        state_dir=str(tmp_path),
        box="casa-0001",
        public_key=bytes(32),
        camera="north",
        begin="2026-11-25T01:00:00Z",
        end="2026-11-25T01:00:05Z",
        form="original",
        by="amina",
        viewer="amina",
        purpose="a test",
        folder=str(tmp_path / "uploads/one.file.making"),
        max_file_bytes=0,
    )


@pytest.fixture(params=["a camera's child", "the child that makes a clip"])
def limits(request: pytest.FixtureRequest, making: MakeTask) -> dict[str, Any]:
    return {} if request.param.startswith("a camera") else {"clip": making}


def test_many_small_allocations_end_at_the_limit(
    attempt: Callable[..., Attempt], hostile_server: ForkServer
) -> None:
    with sampled_growth(hostile_server) as growth:
        tried = attempt("allocate")
        assert tried.result() is None
    assert tried.connection.error is not None
    assert tried.connection.error.kind == "crashed"
    assert "needs more memory than it may have" in str(tried.connection.error)
    assert growth.bytes < MEMORY_BYTES + 8_000_000


def test_a_crash_is_named_by_its_signal(attempt: Callable[..., Attempt]) -> None:
    tried = attempt("crash")
    assert tried.result() is None
    assert tried.connection.ended_silently
    assert "was killed by SIGSEGV after" in tried.end()


def test_endless_work_ends_at_the_limit_of_processor_time(
    attempt: Callable[..., Attempt],
) -> None:
    tried = attempt("spin", cpu_s=1)
    assert tried.result() is None
    assert tried.connection.ended_silently, "the kernel has ended it, and not its parent"
    assert "was killed by SIG" in tried.end()


@needs_landlock
@pytest.mark.parametrize("deed", ["open", "write"])
def test_a_key_file_can_be_neither_read_nor_written(
    attempt: Callable[..., Attempt], key_file: Path, deed: str
) -> None:
    assert attempt(deed, key_file).result() == "PermissionError"
    assert key_file.read_text() == "a key of the box"


@needs_landlock
@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/proc/1/environ", f"/proc/{os.getpid()}/mem", "/dev/null"],
    ids=["passwd", "environ of init", "memory of the agent", "null"],
)
def test_nothing_else_can_be_read(attempt: Callable[..., Attempt], path: str) -> None:
    assert attempt("open", path).result() == "PermissionError"


@needs_libseccomp
@pytest.mark.parametrize("deed", ["execute", "fork"])
def test_no_program_and_no_process_can_be_started(
    attempt: Callable[..., Attempt], limits: dict[str, Any], deed: str
) -> None:
    assert attempt(deed, "/bin/true", **limits).result() == "PermissionError"


@needs_libseccomp
def test_the_agent_can_be_neither_traced_nor_signalled(attempt: Callable[..., Attempt]) -> None:
    with subprocess.Popen(["sleep", "60"]) as victim:
        try:
            assert attempt("trace", victim.pid).refused_call() == "ptrace"
            assert attempt("signal", victim.pid).refused_call() == "kill"
            assert victim.poll() is None
        finally:
            victim.kill()


def assert_not_connected(listener: socket.socket) -> None:
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


@needs_libseccomp
@pytest.mark.parametrize("deed", ["unix", "wide unix"])
def test_the_agents_control_socket_cannot_be_connected_to(
    attempt: Callable[..., Attempt], tmp_path: Path, deed: str
) -> None:
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(tmp_path / "control.sock"))
        control.listen()
        assert attempt(deed, tmp_path / "control.sock").result() == "PermissionError"
        assert_not_connected(control)


class Move(msgspec.Struct, frozen=True, tag_field="method", tag="move"):
    pass


class Moved(msgspec.Struct, frozen=True):
    state: str = "moved"


@contextmanager
def control_socket(state_dir: Path) -> Iterator[list[int]]:
    """The agent's control socket. Yields the processes that had a request carried out."""
    moved_by: list[int] = []

    def move(_: Move, request: LocalRequest) -> None:
        moved_by.append(request.peer.pid)
        request.reply(Moved())

    clock = SystemClock()
    control = ControlSocket(state_dir, clock.boottime_ns)
    control.add_method(Move, move)
    thread = StageThread(control, clock.boottime_ns, random.Random(1), vital=False)
    thread.start()
    try:
        while find_agent(state_dir) is None:
            assert thread.health().last_error is None
        yield moved_by
    finally:
        thread.stop()
        assert thread.join(WITHIN_S)


@pytest.mark.parametrize("deed", ["command", "command by a fork"])
@pytest.mark.parametrize("own_interpreter", [False, True])
def test_the_control_socket_takes_nothing_of_a_child(
    hostile_server: ForkServer, tmp_path: Path, deed: str, own_interpreter: bool
) -> None:
    """Also of one that no filter holds, on a kernel or a system without one."""
    starter = new_interpreter("tests.contracts.hostile_child")
    with control_socket(tmp_path) as moved_by:
        tried = Attempt(
            starter if own_interpreter else hostile_server.start_child,
            deed,
            tmp_path / SOCKET_NAME,
            is_confined=False,
        )
        assert "a child that parses foreign data may not ask" in (tried.result() or "")
        tried.end()
        assert moved_by == []


OTHER_PROGRAM = """
import sys
from drivers.child.fork_server import ForkServer
from tests.contracts.test_child_confinement import Attempt

server = ForkServer("tests.contracts.hostile_child")
attempt = Attempt(server.start_child, "command", sys.argv[1], has_libseccomp=False)
print(attempt.result())
attempt.end()
server.close()
"""


def test_the_control_socket_takes_nothing_of_a_confined_child_of_another_program(
    tmp_path: Path,
) -> None:
    """Such as of `vigie model add`, on a system without libseccomp."""
    root = str(Path(__file__).parents[2])
    with control_socket(tmp_path) as moved_by:
        done = subprocess.run(
            [sys.executable, "-c", OTHER_PROGRAM, str(tmp_path / SOCKET_NAME)],
            env={**os.environ, "PYTHONPATH": root},
            stdout=subprocess.PIPE,
            check=True,
            timeout=3 * WITHIN_S,
        )
        assert b"a child that parses foreign data may not ask" in done.stdout
        assert moved_by == []


def test_the_control_socket_serves_a_program_that_is_no_child(tmp_path: Path) -> None:
    with control_socket(tmp_path) as moved_by:
        client = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; from tests.contracts.hostile_child import command; print(command(sys.argv[1]))",
                str(tmp_path / SOCKET_NAME),
            ],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        answer, _ = client.communicate(timeout=WITHIN_S)
        assert b"moved" in answer
        assert moved_by == [client.pid]


@needs_libseccomp
def test_no_datagram_reaches_a_service_by_an_end_of_a_pair(
    attempt: Callable[..., Attempt], tmp_path: Path
) -> None:
    """Such as systemd's, that pets the watchdog."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
        service.bind(str(tmp_path / "notify"))
        service.setblocking(False)
        assert attempt("pair", tmp_path / "notify").refused_call() == "socketpair"
        with pytest.raises(BlockingIOError):
            service.recv(1)


@needs_libseccomp
@pytest.mark.parametrize(
    ("deed", "call"), [("fast open", "sendto"), ("multipath", "socket"), ("sctp", "socket")]
)
def test_no_other_way_of_connecting_reaches_another_port(
    attempt: Callable[..., Attempt], deed: str, call: str
) -> None:
    """Landlock compares the port of connect(2) on plain TCP."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert attempt(deed, other.getsockname()[1]).refused_call() == call
        assert_not_connected(other)


@needs_libseccomp
@pytest.mark.parametrize("network", ["none", "search"])
def test_a_child_that_needs_no_connection_opens_no_socket_for_one(
    attempt: Callable[..., Attempt], network: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        tried = attempt("connect", server.getsockname()[1], network=network)
        assert tried.refused_call() == "socket"


@needs_libseccomp
@pytest.mark.parametrize(
    ("deed", "calls"),
    [
        ("attribute", {"setxattr"}),
        ("mode", {"chmod", "fchmodat"}),
        ("owner", {"chown", "fchownat"}),
        ("times", {"utimensat"}),
    ],
)
def test_mode_owner_attributes_and_times_of_a_file_stay(
    attempt: Callable[..., Attempt], key_file: Path, deed: str, calls: set[str]
) -> None:
    before = key_file.stat()
    assert attempt(deed, key_file).refused_call() in calls
    assert key_file.stat() == before
    assert os.listxattr(key_file) == []


@needs_libseccomp
def test_limits_and_priority_of_another_process_stay(attempt: Callable[..., Attempt]) -> None:
    with subprocess.Popen(["sleep", "60"]) as victim:
        try:
            before = resource.prlimit(victim.pid, resource.RLIMIT_CPU)
            priority = os.getpriority(os.PRIO_PROCESS, victim.pid)
            assert attempt("limit", victim.pid).refused_call() == "prlimit64"
            assert attempt("priority", victim.pid).refused_call() == "setpriority"
            assert resource.prlimit(victim.pid, resource.RLIMIT_CPU) == before
            assert os.getpriority(os.PRIO_PROCESS, victim.pid) == priority
        finally:
            victim.kill()


@needs_libseccomp
@pytest.mark.parametrize(
    "call",
    [
        *("bpf", "chown", "chroot", "execve", "execveat", "init_module", "io_uring_setup", "kill"),
        *("keyctl", "link", "memfd_create", "mknod", "mount", "perf_event_open", "pidfd_getfd"),
        *("pidfd_open", "pidfd_send_signal", "process_vm_readv", "process_vm_writev", "ptrace"),
        *("seccomp", "setns", "setpriority", "setrlimit", "setuid", "setxattr", "symlink"),
        *("unshare", "userfaultfd", "utimensat"),
    ],
)
def test_a_system_call_that_is_not_in_the_list_ends_the_child_and_is_named(
    attempt: Callable[..., Attempt], limits: dict[str, Any], call: str
) -> None:
    assert attempt("call", call, **limits).refused_call() == call


def uploading(file: Path, port: int) -> UploadTask:
    made = MadeFile(sha256="0" * 64, size_bytes=1, media_type="video/mp4", begin="", end="")
    return UploadTask(
        file=str(file),
        made=made,
        target=PresignedPut(url=f"https://localhost:{port}/x"),
        ca=None,
        chunk_bytes=1,
        progress=UploadProgress(),
    )


@needs_libseccomp
@pytest.mark.parametrize("deed", ["connect", "unix"])
def test_the_child_that_makes_a_clip_connects_to_nothing(
    attempt: Callable[..., Attempt], making: MakeTask, deed: str
) -> None:
    """Neither to the agent's control socket nor to a server that would take footage."""
    assert attempt(deed, 443, clip=making).refused_call() == "socket"


MAKING = {
    "uploads/one.file.making/part": ("done", "done"),
    "footage/north/one.mp4": ("done", "PermissionError"),
    "custody/lock": ("done", "PermissionError"),
    "identity/box.key": ("PermissionError", "PermissionError"),
    "heads/north/tokens.json": ("PermissionError", "PermissionError"),
    "uploads/two.file": ("PermissionError", "PermissionError"),
}


@needs_landlock
@pytest.mark.parametrize("path", MAKING)
def test_the_child_that_makes_a_clip_uses_the_folders_of_footage_alone(
    attempt: Callable[..., Attempt], making: MakeTask, path: str
) -> None:
    file = Path(making.state_dir, path)
    file.touch()
    results = tuple(attempt(deed, file, clip=making).result() for deed in ("open", "write"))
    assert results == MAKING[path]


@needs_landlock
def test_only_the_child_that_makes_an_export_writes_the_custody_log_and_signs(
    attempt: Callable[..., Attempt], making: MakeTask
) -> None:
    export = msgspec.structs.replace(making, form="export")
    for path in ("custody/lock", "identity/box.key"):
        file = Path(making.state_dir, path)
        assert attempt("open", file, clip=export).result() == "done"
        assert attempt("write", file, clip=export).result() == "done"
    assert attempt(
        "write", Path(making.state_dir, "footage/north/one.mp4"), clip=export
    ).result() == ("PermissionError")


@needs_landlock
def test_the_child_that_uploads_a_clip_reads_its_file_alone(
    attempt: Callable[..., Attempt], making: MakeTask, key_file: Path
) -> None:
    file, other = Path(making.folder, "part"), Path(making.state_dir, "footage/north/one.mp4")
    task = uploading(file, 443)
    assert attempt("open", file, clip=task).result() == "done"
    for deed, path in (("write", file), ("open", other), ("open", key_file)):
        assert attempt(deed, path, clip=task).result() == "PermissionError"


@needs_landlock_of_ports
def test_the_child_that_uploads_a_clip_connects_to_the_port_of_its_server_alone(
    attempt: Callable[..., Attempt], key_file: Path
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        task = uploading(key_file, server.getsockname()[1])
        assert attempt("connect", server.getsockname()[1], clip=task).result() == "done"
        assert attempt("connect", other.getsockname()[1], clip=task).result() == "PermissionError"
        assert_not_connected(other)


@needs_libseccomp
def test_the_child_that_uploads_a_clip_resolves_names_and_asks_no_socket_of_the_box(
    attempt: Callable[..., Attempt], key_file: Path
) -> None:
    task = uploading(key_file, 443)
    assert attempt("resolve", "localhost", clip=task).result() == "done"
    assert attempt("unix", key_file, clip=task).result() == "PermissionError"


REHEARSING = {
    "footage/north/one.mp4": ("done", "PermissionError"),
    "custody/lock": ("done", "PermissionError"),
    "proposed.toml": ("done", "PermissionError"),
    "models/own/own.tflite": ("done", "PermissionError"),
    "identity/box.key": ("PermissionError", "PermissionError"),
    "heads/north/tokens.json": ("PermissionError", "PermissionError"),
    "vigie.toml": ("PermissionError", "PermissionError"),
}


def rehearsing(making: MakeTask) -> RehearsalTask:
    """A rehearsal of a model of one's own on the footage of a clip."""
    state = Path(making.state_dir)
    own = DetectionSide(
        model=str(state / "models/own/own.toml"), scene=str(state / "proposed.toml"), fps=10.0
    )
    return RehearsalTask(
        state_dir=making.state_dir,
        box=making.box,
        public_key=making.public_key,
        time_zone="UTC",
        camera=making.camera,
        begin=making.begin,
        end=making.end,
        viewer=making.viewer,
        present=DetectionSide(model="nanodet_320", scene=None, fps=10.0),
        proposed=own,
    )


@needs_landlock
@pytest.mark.parametrize("path", REHEARSING)
def test_the_child_that_rehearses_reads_footage_scenes_and_models_alone(
    attempt: Callable[..., Attempt], making: MakeTask, path: str
) -> None:
    for one in REHEARSING:
        file = Path(making.state_dir, one)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    task = rehearsing(making)
    results = tuple(
        attempt(deed, Path(making.state_dir, path), rehearsal=task).result()
        for deed in ("open", "write")
    )
    assert results == REHEARSING[path]


@needs_libseccomp
def test_the_child_that_rehearses_connects_to_nothing(
    attempt: Callable[..., Attempt], making: MakeTask
) -> None:
    assert attempt("connect", 443, rehearsal=rehearsing(making)).refused_call() == "socket"


@needs_libseccomp
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(("clone", CLONE_NEWUSER | CLONE_THREAD), id="a thread in its own namespace"),
        pytest.param(("fcntl", 0, F_SETOWN), id="signals of a descriptor to another process"),
        pytest.param(("ioctl", 0, TIOCSTI), id="typing into a terminal"),
        pytest.param(("prctl", PR_SET_PDEATHSIG, 0), id="outliving the agent"),
        pytest.param(("prlimit64", 2**32 + 1, 0, 0), id="limits by a wide process number"),
        pytest.param(("setsockopt", 0, 1, SO_ATTACH_FILTER), id="a program for the kernel"),
        pytest.param(("tgkill", 1, 1, 0), id="a signal to a thread of another process"),
    ],
)
def test_a_listed_system_call_has_listed_arguments(
    attempt: Callable[..., Attempt], call: tuple[object, ...]
) -> None:
    assert attempt("call", " ".join(map(str, call))).refused_call() == call[0]


@needs_landlock
@pytest.mark.parametrize(
    ("deed", "path", "result"),
    [
        ("open", "/dev/null", "done"),
        ("write", "/dev/null", "done"),
        ("open", "/dev/zero", "PermissionError"),
        ("write", "/dev/full", "PermissionError"),
        ("list", "/dev", "done"),
        ("list", "/", "PermissionError"),
        ("write", "/dev/vigie-test", "PermissionError"),
    ],
)
def test_a_child_with_a_decoder_opens_that_device_alone_and_sees_the_names_of_others(
    attempt: Callable[..., Attempt], deed: str, path: str, result: str
) -> None:
    assert attempt(deed, path, decoder_devices=["/dev/null"]).result() == result


@needs_libseccomp
@pytest.mark.parametrize("has_decoder", [False, True])
def test_commands_of_a_decoder_are_for_a_child_with_one(
    attempt: Callable[..., Attempt], has_decoder: bool
) -> None:
    """Its channel is no device: the kernel would answer ENOTTY."""
    devices = ["/dev/null"] if has_decoder else []
    tried = attempt("call", f"ioctl 0 {VIDIOC_QUERYCAP} 0", decoder_devices=devices)
    assert (tried.result() if has_decoder else tried.refused_call()) == (
        "OSError" if has_decoder else "ioctl"
    )


@needs_libseccomp
@pytest.mark.parametrize("command", [VIDIOC_EXPBUF, VIDIOC_S_CTRL])
def test_a_child_with_a_decoder_exports_no_buffer_and_sets_no_control(
    attempt: Callable[..., Attempt], command: int
) -> None:
    tried = attempt("call", f"ioctl 0 {command} 0", decoder_devices=["/dev/null"])
    assert tried.refused_call() == "ioctl"


@pytest.mark.parametrize("command", [PR_SVE_GET_VL, PR_SME_GET_VL])
def test_the_runtime_of_models_may_ask_an_arm_processor_for_the_length_of_its_vectors(
    attempt: Callable[..., Attempt], command: int
) -> None:
    """Other processors answer EINVAL."""
    assert attempt("call", f"prctl {command}", network="none").result() in ("OSError", "done")


@needs_x86
def test_the_runtime_of_models_may_request_the_tile_registers_of_an_x86_processor(
    attempt: Callable[..., Attempt],
) -> None:
    """One without them answers EOPNOTSUPP, an old kernel EINVAL."""
    call = f"arch_prctl {ARCH_REQ_XCOMP_PERM} {XFEATURE_XTILE_DATA}"
    assert attempt("call", call, network="none").result() in ("OSError", "done")


@needs_x86
@needs_libseccomp
@pytest.mark.parametrize(
    ("command", "value"), [(ARCH_SET_GS, 0), (ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_CFG)]
)
def test_a_child_moves_no_segment_and_requests_no_other_registers(
    attempt: Callable[..., Attempt], command: int, value: int
) -> None:
    tried = attempt("call", f"arch_prctl {command} {value}", network="none")
    assert tried.refused_call() == "arch_prctl"


def test_a_child_with_a_network_resolves_names(attempt: Callable[..., Attempt]) -> None:
    """The resolver first asks services of the system, by Unix sockets."""
    assert attempt("resolve", "localhost").result() == "done"


@needs_landlock_of_ports
def test_only_the_cameras_port_can_be_connected_to(attempt: Callable[..., Attempt]) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as camera,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        ports = {"tcp_ports": [camera.getsockname()[1]]}
        assert attempt("connect", camera.getsockname()[1], **ports).result() == "done"
        assert attempt("connect", other.getsockname()[1], **ports).result() == "PermissionError"
        assert attempt("listen", **ports).result() == "PermissionError"


def memory_has(pid: int, needle: bytes) -> bool:
    """Whether a process has the bytes in any readable page of its memory."""
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in maps:
            span, rights, *rest = line.split()
            if "r" not in rights or (rest and rest[-1].startswith("[v")):
                continue
            begin, end = (int(part, 16) for part in span.split("-"))
            memory.seek(begin)
            overlap = b""
            while begin < end:
                try:
                    data = memory.read(min(CHUNK_BYTES, end - begin))
                except OSError:
                    break
                if not data:
                    break
                if needle in overlap + data:
                    return True
                overlap = data[-len(needle) :]
                begin += len(data)
    return False


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A key that this process has in its memory and in its environment."""
    key = secrets.token_hex(32)
    monkeypatch.setenv("VIGIE_TEST_KEY", key)
    return key.encode()


def assert_has_no_key(pid: int | None, secret: bytes) -> None:
    assert pid is not None
    assert memory_has(os.getpid(), secret), "the search finds it where it is"
    assert secret not in Path(f"/proc/{pid}/environ").read_bytes()
    assert not memory_has(pid, secret)


def test_a_stream_child_has_no_key_of_the_box(secret: bytes, rtsp_server: RtspServer) -> None:
    rtsp.FORK_SERVER.close()
    camera = open_driver("rtsp", {"url": rtsp_server.url("open")})
    try:
        read_media(camera, object, 3)
        assert isinstance(camera, ChildCamera)
        assert_has_no_key(camera.child_pid, secret)
    finally:
        camera.close()


def test_an_onvif_child_has_no_key_of_the_box_and_no_password_of_another_camera(
    secret: bytes, tmp_path: Path
) -> None:
    password = secrets.token_hex(16)
    file = tmp_path / "camera.password"
    file.touch(0o600)
    file.write_text(password)
    with running_event_camera() as camera:
        access = OnvifAccess(url=camera.url, username="vigie", password_file=str(file))
        first = OnvifClient("camera 'first'", access)
        second = OnvifClient("camera 'second'", OnvifAccess(url=camera.url))
        try:
            assert first.has_service("events")
            assert second.has_service("events")
            assert first.child_pid is not None
            assert second.child_pid is not None
            assert_has_no_key(second.child_pid, secret)
            assert memory_has(first.child_pid, password.encode())
            assert not memory_has(second.child_pid, password.encode())
        finally:
            first.close()
            second.close()


def test_a_fork_server_that_hangs_is_replaced(
    monkeypatch: pytest.MonkeyPatch, attempt: Callable[..., Attempt], hostile_server: ForkServer
) -> None:
    assert attempt("wait").result() == "done"
    stopped = hostile_server._process
    assert stopped is not None
    os.kill(stopped.pid, signal.SIGSTOP)
    monkeypatch.setattr(fork_server, "START_TIMEOUT_S", 0.5)
    monkeypatch.setattr(fork_server, "STOP_TIMEOUT_S", 0.5)
    refused = attempt("wait")
    assert refused.result() is None
    assert "no process for it: timed out" in str(refused.connection.error)
    monkeypatch.setattr(fork_server, "START_TIMEOUT_S", WITHIN_S)
    assert attempt("wait").result() == "done"
    assert stopped.poll() == -signal.SIGKILL


PARENT = """
import sys, threading
sys.path.insert(0, sys.argv[1])
import msgspec
from drivers.child.connection import ChildConnection
from drivers.child.fork_server import ForkServer
from tests.contracts.hostile_child import Misdeed, Outcome
server = ForkServer("tests.contracts.hostile_child")
done = threading.Event()
connection = ChildConnection(
    "x", Misdeed(deed="wait"), server.start_child, msgspec.msgpack.Decoder(Outcome), lambda _: done.set()
)
done.wait()
print(connection.pid, server._process.pid, flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize("frozen", [False, True])
def test_a_forked_child_and_its_server_die_with_the_agent(frozen: bool) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(root)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        ends = [os.pidfd_open(pid) for pid in pids]
        try:
            if frozen:
                os.kill(pids[0], signal.SIGSTOP)
            parent.kill()
            for end in ends:
                ready, _, _ = select.select([end], [], [], WITHIN_S)
                assert ready
        finally:
            for end in ends:
                os.close(end)
