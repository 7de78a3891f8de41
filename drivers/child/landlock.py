"""Landlock: a process gives up rights of its own, for itself and its children, landlock(7).

By the kernel's system calls: no maintained library offers them. Their numbers are the same on every
architecture. A kernel enforces what its version of Landlock knows; the rest is left out.
"""

import contextlib
import ctypes
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

_SYS_CREATE_RULESET, _SYS_ADD_RULE, _SYS_RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 2
_PR_SET_NO_NEW_PRIVS = 38

_WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(1, 6))
_MAKE_DIR, _MAKE_REG, _REFER, _TRUNCATE = 1 << 7, 1 << 8, 1 << 13, 1 << 14
_READ = _READ_FILE | _READ_DIR
_WRITE = _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_OF_FILES = _READ_FILE | _WRITE_FILE | _TRUNCATE
"""Rights that a rule for a file, and no folder, may have."""
_IOCTL_DEVICE = 1 << 15
_OF_DEVICES = _READ_FILE | _WRITE_FILE | _IOCTL_DEVICE
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: _IOCTL_DEVICE}
"""Rights to files, by the version that introduced them; the first has execute, write, read and make."""
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_NETWORK_VERSION = 4
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1 << 0, 1 << 1
_SCOPE_VERSION = 6

_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    # The kernel's is packed: it reads 12 bytes of these 16.
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


class _NetPort(ctypes.Structure):
    _fields_ = (("allowed_access", ctypes.c_uint64), ("port", ctypes.c_uint64))


def abi_version() -> int:
    """Return the kernel's version of Landlock, 0 without it."""
    try:
        return _call(_SYS_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def restrict(
    readable: Iterable[Path],
    writable: Iterable[Path],
    tcp_ports: Iterable[int],
    devices: Sequence[Path] = (),
) -> None:
    """Keep only the rights to read these files and folders, to read and write those, to connect to these TCP ports, and to use these devices.

    From now on the calling thread, which should be the only one, and those that it starts can neither write,
    make, list or execute another file, listen on TCP, nor signal or trace a process outside. With a device the names of
    its folder can be listed. Without Landlock nothing changes. Raises: OSError.
    """
    version = abi_version()
    if version == 0:
        return
    file_rights = sum(rights for since, rights in _FILE_RIGHTS.items() if version >= since)
    has_network, has_scopes = version >= _NETWORK_VERSION, version >= _SCOPE_VERSION
    ruleset = _Ruleset(
        handled_access_fs=file_rights,
        handled_access_net=_BIND_TCP | _CONNECT_TCP if has_network else 0,
        scoped=_SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS if has_scopes else 0,
    )
    fd = _call(_SYS_CREATE_RULESET, ctypes.byref(ruleset), ctypes.sizeof(ruleset), 0)
    try:
        device_folders = {device.parent for device in devices}
        for paths, rights in (
            (readable, _READ),
            (writable, _READ | _WRITE),
            (device_folders, _READ_DIR),
            (devices, _OF_DEVICES),
        ):
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    _allow(fd, path, rights & file_rights)
        for port in tcp_ports if has_network else ():
            rule = _NetPort(allowed_access=_CONNECT_TCP, port=port)
            _call(_SYS_ADD_RULE, fd, _RULE_NET_PORT, ctypes.byref(rule), 0)
        if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
        _call(_SYS_RESTRICT_SELF, fd, 0)
    finally:
        os.close(fd)


def _allow(ruleset_fd: int, path: Path, rights: int) -> None:
    path_fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        is_folder = stat.S_ISDIR(os.fstat(path_fd).st_mode)
        allowed = rights if is_folder else rights & (_OF_FILES | _IOCTL_DEVICE)
        rule = _PathBeneath(allowed_access=allowed, parent_fd=path_fd)
        _call(_SYS_ADD_RULE, ruleset_fd, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(path_fd)


def _call(number: int, *arguments: object) -> int:
    # A variadic function reads whole words.
    words = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
    result = int(_libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        number_of_error = ctypes.get_errno()
        raise OSError(number_of_error, os.strerror(number_of_error))
    return result
