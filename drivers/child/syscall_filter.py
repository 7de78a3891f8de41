"""A filter of system calls, for what Landlock does not cover: seccomp(2) through libseccomp.

libseccomp is on every system with systemd. The filter names what a parser never does; what the unit of the
agent forbids holds for its children too.
"""

import ctypes
import errno
import os
import socket

_LIBRARY = "libseccomp.so.2"
_ACT_ALLOW, _ACT_ERRNO = 0x7FFF0000, 0x00050000
_CMP_NE, _CMP_MASKED_EQ = 1, 7
_CLONE_THREAD = 0x00010000
_LOW_HALF = 0xFFFFFFFF
"""The kernel takes an argument of type int from the low half of its register; a comparison of libseccomp is of all of it."""
_IPPROTO_MPTCP = 262

_FORBIDDEN = (
    "add_key",
    "bpf",
    # Modes, owners and attributes, which Landlock does not know.
    "chmod",
    "chown",
    "execve",
    "execveat",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchownat",
    "fremovexattr",
    "fsetxattr",
    "fork",
    "futimesat",
    # Its operations pass the filter.
    "io_uring_setup",
    "ioprio_set",
    "keyctl",
    "lchown",
    "lremovexattr",
    "lsetxattr",
    "perf_event_open",
    "pidfd_getfd",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "removexattr",
    "removexattrat",
    "request_key",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "setpriority",
    "setns",
    "setxattr",
    "setxattrat",
    "unshare",
    "userfaultfd",
    "utime",
    "utimensat",
    "utimes",
    "vfork",
)


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def _is(argument: int, value: int) -> _Comparison:
    """Return whether an argument of type int has a value, as the kernel reads it."""
    return _Comparison(argument, _CMP_MASKED_EQ, _LOW_HALF, value)


def load_library() -> ctypes.CDLL | None:
    """Return libseccomp, or None without it."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    return library


def forbid() -> None:
    """Forbid Unix sockets, new processes, programs, and access to other processes, for ever.

    In the calling thread, which should be the only one, and in those that it starts. Without libseccomp nothing
    changes. Raises: OSError.
    """
    library = load_library()
    if library is None:
        return
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ACT_ALLOW)))
    if not context:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    try:
        for name in _FORBIDDEN:
            _add_rule(library, context, name, errno.EPERM)
        # Its flags are behind a pointer: glibc falls back to clone.
        _add_rule(library, context, "clone3", errno.ENOSYS)
        no_thread = _Comparison(0, _CMP_MASKED_EQ, _CLONE_THREAD, 0)
        _add_rule(library, context, "clone", errno.EPERM, no_thread)
        _add_rule(library, context, "socket", errno.EPERM, _is(0, socket.AF_UNIX))
        # Landlock knows the ports of connect() and of plain TCP.
        _add_rule(library, context, "socket", errno.EPERM, _is(2, _IPPROTO_MPTCP))
        for call, flags in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
            fast_open = _Comparison(flags, _CMP_MASKED_EQ, socket.MSG_FASTOPEN, socket.MSG_FASTOPEN)
            _add_rule(library, context, call, errno.EPERM, fast_open)
        # Limits of another process, 0 is this one.
        _add_rule(library, context, "prlimit64", errno.EPERM, _Comparison(0, _CMP_NE, 0, 0))
        _check(library.seccomp_load(context))
    finally:
        library.seccomp_release(context)


def _add_rule(
    library: ctypes.CDLL,
    context: ctypes.c_void_p,
    name: str,
    error_number: int,
    *comparisons: _Comparison,
) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number < 0:
        return  # this architecture or version has no such call
    _check(
        library.seccomp_rule_add_array(
            context,
            ctypes.c_uint32(_ACT_ERRNO | error_number),
            ctypes.c_int(number),
            ctypes.c_uint(len(comparisons)),
            (_Comparison * len(comparisons))(*comparisons),
        )
    )


def _check(result: int) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
