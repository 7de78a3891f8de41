"""A picture of 200 kB on the uplink of a weak mobile network: the real kernel's queue between the box and
a broker, in a network namespace.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.capture.snapshot_command import SNAPSHOT_MAX_BYTES
from agent.config.broker import BrokerConfig
from agent.reporting import outgoing_messages
from agent.reporting.mqtt.paho_transport import TCP_USER_TIMEOUT_S
from agent.reporting.mqtt.send_window import PUBACK_TIMEOUT_S
from agent.reporting.payloads import SnapshotHeader
from tests.contracts.own_network import NamespaceUnavailable, network_namespace
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK, make_event
from tests.whole.report.reporting_box import CentreListener, ReportingBox, wait_until

pytestmark = pytest.mark.slow

RATES_KBIT_S = (45, 20) if os.environ.get("VIGIE_CRASH") == "long" else (45,)
"""A picture takes 40 s on the one, and 90 s and more on the other."""

CONGESTION_CONTROL = "reno"
"""Every kernel permits it in a network of one's own. The machine's may be BBR, which fills the queue of the uplink in another
way than the image's CUBIC, and then loses so much that the recovery takes longer than TCP_USER_TIMEOUT.
"""
UPLINK = """
echo {control} >/proc/sys/net/ipv4/tcp_congestion_control
ip link add uplink type veth peer name far netns {broker}
ip addr add 10.79.0.1/24 dev uplink && ip link set uplink up
tc qdisc add dev uplink root tbf rate {kbit_s}kbit burst 3000 limit 20000
nsenter --target {broker} --net ip addr add 10.79.0.2/24 dev far
nsenter --target {broker} --net ip link set far up
"""


class Uplink:
    """From the network of the calling thread to that of a broker, for all that is sent there."""

    def __init__(self, broker: Mosquitto, kbit_s: int) -> None:
        self._broker = broker.pid
        self.config = BrokerConfig(url="mqtt://10.79.0.2:1883")
        self._run(UPLINK.format(control=CONGESTION_CONTROL, kbit_s=kbit_s, broker=self._broker))

    def cut(self) -> None:
        """No packet arrives any more, without an error."""
        self._run(f"nsenter --target {self._broker} --net ip link set far down")

    def mend(self) -> None:
        self._run(f"nsenter --target {self._broker} --net ip link set far up")

    @staticmethod
    def _run(script: str) -> None:
        made = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=False)
        if made.returncode:
            raise NamespaceUnavailable(made.stderr.strip())


@contextmanager
def slow_link(folder: Path, kbit_s: int) -> Iterator[tuple[CentreListener, Uplink]]:
    """A centre next to its broker, and the uplink of a box to them."""
    try:
        with network_namespace():
            broker = Mosquitto(folder, config="allow_anonymous true\nlistener 1883\n")
            try:
                near = BrokerConfig(url="mqtt://127.0.0.1:1883")
                with CentreListener(near, folder / "centre.db") as centre, network_namespace():
                    yield centre, Uplink(broker, kbit_s)
            finally:
                broker.stop(signal.SIGKILL)
    except NamespaceUnavailable as error:
        pytest.skip(f"needs networks of its own, which root may make: {error}")


def put_a_picture_and_three_events(box: ReportingBox) -> None:
    jpeg = bytes(range(250)) * (SNAPSHOT_MAX_BYTES // 250)
    picture = outgoing_messages.build_snapshot_message(
        "north", jpeg, CLOCK.boottime_ns(), event_id=None, max_bytes=SNAPSHOT_MAX_BYTES
    )
    for draft in (picture, make_event(1), make_event(2), make_event(3)):
        assert box.outbox.put(draft).wait(60)


def pictures(centre: CentreListener) -> int:
    return sum(isinstance(item.message, SnapshotHeader) for item in list(centre.received))


@pytest.mark.parametrize("kbit_s", RATES_KBIT_S)
def test_a_large_picture_and_later_messages_are_sent_in_one_connection(
    tmp_path: Path, kbit_s: int
) -> None:
    alone_s = SNAPSHOT_MAX_BYTES * 8 / 1000 / kbit_s
    assert alone_s > PUBACK_TIMEOUT_S
    with slow_link(tmp_path, kbit_s) as (centre, uplink):
        box = ReportingBox(uplink.config, tmp_path / "outbox")
        put_a_picture_and_three_events(box)
        stood: set[str] = set()

        def all_has_left() -> bool:
            stood.update(fault.code for fault in box.faults.active())
            return box.outbox.depth == 0

        with box:
            wait_until(all_has_left, 5 * alone_s)
            assert (pictures(centre), centre.event_numbers()) == (1, [1, 2, 3])
            assert {birth.session for birth in centre.births()} == {1}
            # NET-03 neither: the centre had nothing to acknowledge while the picture was on its way.
            assert stood == set()


def test_a_connection_cut_during_a_picture_is_detected_and_the_picture_is_sent_later(
    tmp_path: Path,
) -> None:
    with slow_link(tmp_path, 200) as (centre, uplink):
        box = ReportingBox(uplink.config, tmp_path / "outbox")
        put_a_picture_and_three_events(box)

        def arrived_bytes() -> int:
            connection = box.session.connection
            return 0 if connection is None else connection._transport.send_state.acked_bytes

        with box:
            wait_until(lambda: arrived_bytes() > 50_000)
            uplink.cut()
            wait_until(
                lambda: [fault.code for fault in box.faults.active()] == ["NET-01"],
                max(TCP_USER_TIMEOUT_S, PUBACK_TIMEOUT_S) + 10,
            )
            uplink.mend()
            wait_until(lambda: box.outbox.depth == 0, 60)
            assert pictures(centre) == 1
