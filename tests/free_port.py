"""TCP ports for the servers of tests."""

import random
import socket
from contextlib import suppress

PORTS = range(12_000, 32_000)
"""Below those that the kernel chooses for clients, and for servers without a port: ip_local_port_range, ip-sysctl.rst."""


def free_port() -> int:
    """Return a port on which no program listens, and that no other process of the tests gets before this one ends.

    A name in the abstract namespace of unix(7) reserves it; the kernel drops the name with the process.
    """
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with suppress(OSError), socket.socket() as probe:
            reservation.bind(f"\0vigie-test-port-{port}")
            probe.bind(("", port))
            reservation.detach()
            return port
        reservation.close()
    raise RuntimeError(f"no port of {PORTS.start} to {PORTS.stop - 1} is free")
