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
_CMP_EQ, _CMP_MASKED_EQ = 4, 7
_CLONE_THREAD = 0x00010000

_FORBIDDEN = (
    "add_key",
    "bpf",
    "execve",
    "execveat",
    "fork",
    # Its operations pass the filter.
    "io_uring_setup",
    "keyctl",
    "perf_event_open",
    "pidfd_getfd",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "request_key",
    "setns",
    "unshare",
    "userfaultfd",
    "vfork",
)


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


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
        unix_family = _Comparison(0, _CMP_EQ, socket.AF_UNIX, 0)
        _add_rule(library, context, "socket", errno.EPERM, unix_family)
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
