"""Drain of an outbox through a real mosquitto to a real centre (`vigie watch --ack`, in its own process) that commits
before it acknowledges.
"""

import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from agent.base.clock import SystemClock
from agent.base.model import LABELS
from agent.config.broker import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.declaration.data import DeclarationData
from agent.reporting.mqtt.connection import BirthInputs
from agent.reporting.mqtt.mqtt_stage import MqttStage
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outgoing_messages import OutgoingMessage
from agent.runtime.stage import StageThread
from bench.mosquitto import running_mosquitto
from bench.slow_link import link_to

CLOCK = SystemClock()
BIRTH = BirthInputs(
    site="bench",
    public_key="",
    versions={},
    cameras=(),
    declaration=DeclarationData(
        site="bench",
        detects=LABELS,
        cameras=(),
        event_retention_days=7,
        max_retention_days=90,
        recipients=(),
        public_key="",
        software="bench",
        trusts_test_authority=False,
    ),
)
_LOOK_S = 0.01
_EMERGENCY_TIMEOUT_S = 60.0


class DrainCost(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of a drain. `cpu_s` is that of the box and of the proxy, if there is one."""

    wall_s: float
    cpu_s: float
    centre_cpu_s: float
    sent_bytes: int
    emergency_s: tuple[float, ...]
    """From the put of each emergency to its arrival at the centre."""


def drain(
    outbox: Outbox,
    folder: Path,
    *,
    uplink_bytes_per_s: float = float("inf"),
    emergencies: tuple[OutgoingMessage, ...] = (),
) -> DrainCost:
    """Send all of an outbox. The emergencies are put one after the other when half of it has left."""
    half = outbox.depth / 2
    arrival = threading.Event()

    def on_line(line: bytes) -> None:
        if b'"wrong_way"' in line and outbox.depth < half:
            arrival.set()

    with running_mosquitto(folder) as url, running_centre(folder, url, on_line) as centre:
        port = urlsplit(url).port or 1883
        with link_to(port, uplink_bytes_per_s) as link:
            is_direct = uplink_bytes_per_s == float("inf")
            mqtt = MqttStage(
                MqttSession(outbox, CLOCK),
                BrokerConfig(url=url if is_direct else link.url),
                FaultRegistry(CLOCK.boottime_ns),
                lambda: BIRTH,
                random.Random(1),
            )
            stage = StageThread(mqtt, CLOCK.boottime_ns, random.Random(2), vital=False)
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            stage.start()
            pause = threading.Event()
            while outbox.depth > half:
                pause.wait(_LOOK_S)
            delays_s = []
            for emergency in emergencies:
                arrival.clear()
                put_s = time.perf_counter()
                outbox.put(emergency)
                assert arrival.wait(_EMERGENCY_TIMEOUT_S)
                delays_s.append(time.perf_counter() - put_s)
            while outbox.depth:
                pause.wait(_LOOK_S)
            wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
            stage.stop()
            stage.join(30)
            sent_bytes = link.sent_bytes
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        centre.terminate()
        centre.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return DrainCost(
        wall_s=wall_s,
        cpu_s=cpu_s,
        centre_cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        sent_bytes=sent_bytes,
        emergency_s=tuple(delays_s),
    )


@contextmanager
def running_centre(
    folder: Path, url: str, on_line: Callable[[bytes], None]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a centre, which listens when this is entered. `on_line` gets each line of its output."""
    command = [sys.executable, "-m", "agent", "watch", "--broker", url, "--json", "--ack"]
    centre = subprocess.Popen(
        [*command, "--store", str(folder / "centre.db")], stdout=subprocess.PIPE
    )
    assert centre.stdout is not None
    stdout = centre.stdout
    # Its own announcement comes back to it: from here on it listens.
    stdout.readline()

    def read() -> None:
        for line in stdout:
            on_line(line)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield centre
    finally:
        centre.terminate()
        centre.wait()
        reader.join()
        stdout.close()
