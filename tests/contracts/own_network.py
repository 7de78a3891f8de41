"""A network of a test's own: nothing that is bound, sent or multicast in it leaves the test."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers.onvif.client import FORK_SERVER

CLONE_NEWNET = 0x40000000  # linux/sched.h
CURRENT_NAMESPACE = Path("/proc/thread-self/ns/net")
BOX, CAMERA, OTHER_SUBNET = "10.77.0.1", "10.77.0.1", "10.78.0.1"
SETUP_SCRIPT = """
ip link set lo up
ip link add street type veth peer name street-end && ip link set street-end up
ip addr add 10.77.0.1/24 dev street && ip link set street up
ip link add yard type veth peer name yard-end && ip link set yard-end up
ip addr add 10.78.0.1/24 dev yard && ip link set yard up
"""

_libc = ctypes.CDLL(None, use_errno=True)


class NamespaceUnavailable(Exception):
    """The kernel does not give one, and why."""


@contextmanager
def network_namespace() -> Iterator[None]:
    """The calling thread, and the threads and processes that it starts, are in a network with two
    interfaces, `street` (10.77.0.1) and `yard` (10.78.0.1). Raises NamespaceUnavailable.
    """
    with CURRENT_NAMESPACE.open() as original_namespace:
        if _libc.unshare(CLONE_NEWNET):
            raise NamespaceUnavailable(f"unshare: {os.strerror(ctypes.get_errno())}")
        try:
            setup = subprocess.run(
                ["sh", "-ec", SETUP_SCRIPT], capture_output=True, text=True, check=False
            )
            if setup.returncode:
                raise NamespaceUnavailable(f"ip: {setup.stderr.strip()}")
            FORK_SERVER.close()  # the next one is in this network
            yield
        finally:
            FORK_SERVER.close()
            _libc.setns(original_namespace.fileno(), CLONE_NEWNET)
