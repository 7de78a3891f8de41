"""An address of the tests' own, at which they reach their servers: downloads refuse loopback addresses."""

import atexit
import functools
import random
import shutil
import subprocess

import pytest

_RANDOM = random.SystemRandom()


@functools.cache
def own_address() -> str:
    """Return a private address that this process alone has, until it ends. Skip the test without root."""
    return _add(".".join(["10", *(str(_RANDOM.randrange(1, 255)) for _ in range(3))]))


@functools.cache
def own_ipv6_address() -> str:
    """Return the same in IPv6; it ends in what may be taken for a port."""
    return _add(f"fd{_RANDOM.randrange(256):02x}:{_RANDOM.randrange(1, 1 << 16):x}::face")


def _add(address: str) -> str:
    if shutil.which("ip") is None or _change_route("add", address).returncode:
        pytest.skip("needs root and iproute2: an address of its own")
    atexit.register(_change_route, "del", address)
    return address


def _change_route(action: str, address: str) -> subprocess.CompletedProcess[bytes]:
    # A local route, and no address of the interface: Chromium ends each request that is connecting with
    # ERR_NETWORK_CHANGED when an interface of the machine gets or loses an address, also those of other tests.
    command = ["ip", "route", action, "local", address, "dev", "lo"]
    return subprocess.run(command, capture_output=True, check=False)
