"""A list of the system calls that a child may make, for what Landlock does not cover: seccomp(2) through libseccomp.

libseccomp is on every system with systemd. A call that is not in the list is not made: the process names it and
ends. So a library that needs another call since its last version is a fault with a name, and no wrong result.
Decision 37 has the reasons.
"""

import ctypes
import errno
import os
import signal
import socket
from collections.abc import Callable
from typing import Literal

Network = Literal["none", "client", "search"]
"""The sockets of a child: none, TCP and UDP with the resolver of names, or UDP with the list of the box's interfaces."""

_LIBRARY = "libseccomp.so.2"
_ACT_ALLOW, _ACT_TRAP, _ACT_ERRNO = 0x7FFF0000, 0x00030000, 0x00050000
_CMP_EQ, _CMP_MASKED_EQ = 4, 7
_LOW_HALF = 0xFFFFFFFF
"""The kernel reads an int from the low half of its register; a comparison of libseccomp is of the whole one."""
_SA_SIGINFO = 4
_SIGSET_BYTES = 128

_CALLS = (
    # Memory. OpenBLAS and encoders call mbind(2), which places that of this process on a node.
    *("brk", "madvise", "mbind", "mmap", "mprotect", "mremap", "munmap"),
    # Threads of this process, and their signals.
    *("exit", "exit_group", "futex", "getcpu", "getpid", "getppid", "gettid", "membarrier", "rseq"),
    *("restart_syscall", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_getaffinity"),
    *("sched_getparam", "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min"),
    *("sched_yield", "set_robust_list", "set_tid_address", "sigaltstack"),
    # Open files and channels.
    *("close", "close_range", "dup", "dup2", "dup3", "fstat", "ftruncate", "getsockname"),
    *("getsockopt", "lseek", "pread64", "read", "readv", "recvfrom", "recvmsg", "shutdown"),
    *("write", "writev", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "poll"),
    *("ppoll", "pselect6", "select"),
    # Files to read: Landlock has those that may be.
    *("access", "faccessat", "faccessat2", "getcwd", "getdents64", "lstat", "newfstatat", "open"),
    *("openat", "readlink", "readlinkat", "stat", "statx"),
    # Time, chance and facts of this process.
    *("clock_getres", "clock_gettime", "clock_nanosleep", "getegid", "geteuid", "getgid"),
    *("getrandom", "getrlimit", "getrusage", "gettimeofday", "getuid", "nanosleep", "sysinfo"),
    *("time", "times", "uname"),
)
_FILE_CALLS = (
    # Files to write, and folders. `sendfile` copies a file; fremovexattr(2) shows whether a sync is to be trusted (decision 60).
    *(
        "chmod",
        "fallocate",
        "fchmod",
        "fchmodat",
        "fdatasync",
        "flock",
        "fremovexattr",
        "fstatfs",
        "fsync",
        "mkdir",
    ),
    *("mkdirat", "pwrite64", "rename", "renameat", "renameat2", "rmdir", "sendfile", "statfs"),
    *("copy_file_range", "preadv", "preadv2", "unlink", "unlinkat"),
    # Of the clock, which only a process with CAP_SYS_TIME can set.
    *("adjtimex", "clock_adjtime"),
)
_NETWORK_CALLS = ("bind", "connect", "getpeername", "recvmmsg")
_FILE_COMMANDS = (0, 1, 2, 3, 4, 1030, 1033, 1034)
"""fcntl(2): F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS. With F_SETOWN
the kernel would signal another process."""
_DEVICE_COMMANDS = (0x5401, 0x802C542A, 0x5421, 0x541B, 0x5450, 0x5451, 0x8933)
"""ioctl(2): TCGETS, TCGETS2, FIONBIO, FIONREAD, FIONCLEX, FIOCLEX, SIOCGIFINDEX."""
_DECODER_COMMANDS = (
    *(0x80685600, 0xC0405602, 0xC0D05604, 0xC0D05605, 0xC0D05640, 0xC0145608, 0xC0585609),
    *(0xC058560F, 0xC0585611, 0x40045612, 0x40045613, 0xC040565E, 0xC040565F, 0x4020565A),
    *(0x80885659, 0xC0485660),
)
"""ioctl(2) of a V4L2 decoder, those of libavcodec's wrapper: VIDIOC_QUERYCAP, ENUM_FMT, G_FMT, S_FMT, TRY_FMT, REQBUFS,
QUERYBUF, QBUF, DQBUF, STREAMON, STREAMOFF, G_SELECTION, S_SELECTION, SUBSCRIBE_EVENT, DQEVENT and DECODER_CMD. None exports a
buffer or sets a control."""
_PROCESS_COMMANDS = (15, 16, 51, 64, 0x53564D41)
"""prctl(2): PR_SET_NAME, PR_GET_NAME, PR_SVE_GET_VL, PR_SME_GET_VL, PR_SET_VMA. The runtime of models asks any ARM for the
length of its vectors. PR_SET_PDEATHSIG would let it outlive the agent."""
_REQUEST_STATE_PERMISSION, _TILE_DATA = 0x1023, 18
"""arch_prctl(2): ARCH_REQ_XCOMP_PERM of the tile registers. The runtime of models requests them of any x86 with AMX, on which a pass of
`nanodet` takes two thirds of the time (13.4 and 9.5 ms). ARCH_SET_FS would move the data of a thread."""
_SEND_FLAGS = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}
"""The argument with the flags of a call that sends."""
_PROTOCOLS = {
    socket.SOCK_STREAM: (0, socket.IPPROTO_TCP),
    socket.SOCK_DGRAM: (0, socket.IPPROTO_UDP),
}
"""TCP and UDP alone: Landlock compares no port of Multipath TCP or SCTP."""
_NETLINK_ROUTE = 0
_TYPE_BITS = 0xF
"""The other bits of a socket's type are flags."""
_SOCKET_OPTIONS = {
    # SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_BROADCAST, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE, SO_LINGER, SO_REUSEPORT, SO_RCVTIMEO, SO_SNDTIMEO
    socket.SOL_SOCKET: (2, 3, 4, 6, 7, 8, 9, 13, 15, 20, 21),
    # TCP_NODELAY, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT
    socket.IPPROTO_TCP: (1, 4, 5, 6, 18),
    # IP_TOS, IP_TTL, IP_MTU_DISCOVER, IP_RECVERR, IP_MULTICAST_IF, _TTL and _LOOP, IP_ADD_ and IP_DROP_MEMBERSHIP
    socket.IPPROTO_IP: (1, 2, 10, 11, 32, 33, 34, 35, 36),
    # IPV6_UNICAST_HOPS, IPV6_MULTICAST_IF, _HOPS and _LOOP, IPV6_JOIN_ and _LEAVE_GROUP, IPV6_MTU_DISCOVER, IPV6_RECVERR, IPV6_V6ONLY
    socket.IPPROTO_IPV6: (16, 17, 18, 19, 20, 21, 23, 25, 26),
}
_CLONE_THREAD = 0x00010000
_CLONE_NEW_NAMESPACES = 0x7E020000 | 0x80
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET; NEWTIME."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


class _SignalInfo(ctypes.Structure):
    """`siginfo_t` of a refused call: sigaction(2)."""

    _fields_ = (
        ("number", ctypes.c_int),
        ("error", ctypes.c_int),
        ("code", ctypes.c_int),
        ("address", ctypes.c_void_p),
        ("call", ctypes.c_int),
        ("architecture", ctypes.c_uint),
    )


_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.POINTER(_SignalInfo), ctypes.c_void_p)


class _SignalAction(ctypes.Structure):
    _fields_ = (
        ("handler", _Handler),
        ("mask", ctypes.c_byte * _SIGSET_BYTES),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


_kept_handlers: list[object] = []
"""The handler is called until the process ends."""


def load_library() -> ctypes.CDLL | None:
    """Return libseccomp, or None without it."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
    return library


def allow_listed(
    network: Network,
    on_refusal: Callable[[str], object],
    *,
    writes_files: bool = False,
    uses_decoder: bool = False,
) -> None:
    """Give up all system calls but the listed ones, for ever.

    With `writes_files` it may write, rename and delete the files that Landlock leaves to it, with `uses_decoder` give the
    commands of a V4L2 decoder.
    In the calling thread, which should be the only one, and in those that it starts. `on_refusal` gets the name of a
    call that is not in the list, and ends the process. Without libseccomp nothing changes. Raises: OSError.
    """
    library = load_library()
    if library is None:
        return
    _handle_refusals(library, on_refusal)
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ACT_TRAP)))
    if not context:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    rules = _Rules(library, context)
    try:
        _add_calls(rules)
        if network != "none":
            _add_network(rules, network)
        for name in _FILE_CALLS if writes_files else ():
            rules.allow(name)
        for command in _DECODER_COMMANDS if uses_decoder else ():
            rules.allow("ioctl", _is(1, command))
        _check(library.seccomp_load(context))
    finally:
        library.seccomp_release(context)


class _Rules:
    """The rules of a filter. Comparisons of one rule hold together; of several rules of a call, one is enough."""

    def __init__(self, library: ctypes.CDLL, context: ctypes.c_void_p) -> None:
        self._library = library
        self._context = context

    def allow(self, name: str, *comparisons: _Comparison) -> None:
        self._add(_ACT_ALLOW, name, comparisons)

    def answer(self, name: str, error_number: int, *comparisons: _Comparison) -> None:
        """Have a call fail, if libraries try it first and can do without."""
        self._add(_ACT_ERRNO | error_number, name, comparisons)

    def _add(self, action: int, name: str, comparisons: tuple[_Comparison, ...]) -> None:
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # this architecture or version has no such call
        _check(
            self._library.seccomp_rule_add_array(
                self._context,
                ctypes.c_uint32(action),
                ctypes.c_int(number),
                ctypes.c_uint(len(comparisons)),
                (_Comparison * len(comparisons))(*comparisons),
            )
        )


def _add_calls(rules: _Rules) -> None:
    """Add the calls of every child."""
    for name in _CALLS:
        rules.allow(name)
    for name, commands in (
        ("fcntl", _FILE_COMMANDS),
        ("ioctl", _DEVICE_COMMANDS),
    ):
        for command in commands:
            rules.allow(name, _is(1, command))
    for command in _PROCESS_COMMANDS:
        rules.allow("prctl", _is(0, command))
    rules.allow(
        "arch_prctl", _is(0, _REQUEST_STATE_PERMISSION), _Comparison(1, _CMP_EQ, _TILE_DATA, 0)
    )
    for name, flags in _SEND_FLAGS.items():
        rules.allow(name, _has_bits(flags, socket.MSG_FASTOPEN, 0))
    # Limits of this process, to read; a signal to itself, with which abort(3) ends it.
    rules.allow("prlimit64", _is(0, 0), _Comparison(2, _CMP_EQ, 0, 0))
    rules.allow("tgkill", _is(0, os.getpid()))
    # A thread and no process, for which glibc holds locks that a handler would wait for. The flags of clone3 are behind
    # a pointer: glibc falls back to clone.
    rules.allow("clone", _has_bits(0, _CLONE_THREAD | _CLONE_NEW_NAMESPACES, _CLONE_THREAD))
    rules.answer("clone", errno.EPERM, _has_bits(0, _CLONE_THREAD, 0))
    for name in ("fork", "vfork"):
        rules.answer(name, errno.EPERM)
    rules.answer("clone3", errno.ENOSYS)


def _add_network(rules: _Rules, network: Network) -> None:
    """Add the calls of a child with a network."""
    for name in _NETWORK_CALLS:
        rules.allow(name)
    kinds = (socket.SOCK_DGRAM,) if network == "search" else (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    for family in (socket.AF_INET, socket.AF_INET6):
        for kind in kinds:
            for protocol in _PROTOCOLS[kind]:
                rules.allow(
                    "socket", _is(0, family), _has_bits(1, _TYPE_BITS, kind), _is(2, protocol)
                )
    # The resolver asks services of the system first, and the kernel for the box's addresses.
    rules.answer("socket", errno.EPERM, _is(0, socket.AF_UNIX))
    if network == "search":
        rules.allow("socket", _is(0, socket.AF_NETLINK), _is(2, _NETLINK_ROUTE))
    else:
        rules.answer("socket", errno.EPERM, _is(0, socket.AF_NETLINK))
    # A pair is connected for ever; one of datagrams could send to any socket of the file system.
    rules.allow("socketpair", _is(0, socket.AF_UNIX), _has_bits(1, _TYPE_BITS, socket.SOCK_STREAM))
    for level, options in _SOCKET_OPTIONS.items():
        for option in options:
            rules.allow("setsockopt", _is(1, level), _is(2, option))


def _is(argument: int, value: int) -> _Comparison:
    """Return whether an argument of type int has a value, as the kernel reads it."""
    return _has_bits(argument, _LOW_HALF, value)


def _has_bits(argument: int, mask: int, value: int) -> _Comparison:
    """Return whether an argument has a value in the bits of a mask."""
    return _Comparison(argument, _CMP_MASKED_EQ, mask, value)


def _handle_refusals(library: ctypes.CDLL, on_refusal: Callable[[str], object]) -> None:
    """Handle SIGSYS, which the kernel sends to a thread in the place of its call. Raises: OSError.

    Python's own handlers run later, after the call seems to have returned.
    """

    def handle(_signal_number: int, info: "ctypes._Pointer[_SignalInfo]", _: int | None) -> None:
        number, architecture = info.contents.call, info.contents.architecture
        name = library.seccomp_syscall_resolve_num_arch(architecture, number)
        on_refusal(str(number) if name is None else name.decode())

    action = _SignalAction(handler=_Handler(handle), flags=_SA_SIGINFO)
    _kept_handlers.append(action)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sigaction(signal.SIGSYS, ctypes.byref(action), None):
        number_of_error = ctypes.get_errno()
        raise OSError(number_of_error, os.strerror(number_of_error))


def _check(result: int) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
