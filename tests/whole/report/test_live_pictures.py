"""agent.reporting.mqtt.connection: live pictures are sent one at a time, after everything else."""

from pathlib import Path

from agent.config.broker import BrokerConfig
from agent.reporting import outgoing_messages
from agent.reporting.payloads import SnapshotHeader
from tests.loopback_server import TcpProxy
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK, make_event
from tests.whole.report.reporting_box import CentreListener, ReportingBox, wait_until

JPEG = b"\xff\xd8" + bytes(1000)


def look(box: ReportingBox, camera: str = "north") -> None:
    box.session.unstored.put(
        outgoing_messages.build_live_message(camera, JPEG, CLOCK.boottime_ns())
    )


def kinds(listener: CentreListener) -> list[str]:
    return [
        kind
        for item in list(listener.received)
        for kind in ("event", "live")
        if f"/up/{kind}/" in item.topic
    ]


def has_event_in_flight(box: ReportingBox) -> bool:
    """Other publications, such as the declaration, are never unacknowledged."""
    connection = box.session.connection
    window = None if connection is None else connection._window
    return window is not None and window.unacked_count > 0


def test_events_pass_a_waiting_picture_and_pictures_go_one_at_a_time(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with (
        TcpProxy(broker.port) as proxy,
        CentreListener(BrokerConfig(url=broker.url), tmp_path / "centre.db") as centre,
        ReportingBox(BrokerConfig(url=proxy.url), tmp_path) as box,
    ):
        wait_until(lambda: box.session.health().centre_listening)
        wait_until(lambda: box.session.round_trip_ms() is not None)
        proxy.freeze()
        box.outbox.put(make_event(1))
        wait_until(lambda: has_event_in_flight(box))
        look(box)
        look(box, "south")
        assert box.outbox.put(make_event(2, "wrong_way")).wait(60)
        assert box.session.unstored.is_waiting("live/south")
        assert box.session.unstored.is_waiting("live/north")
        assert kinds(centre) == []
        proxy.thaw()
        centre.wait_for(lambda: len(kinds(centre)) == 4)
        assert kinds(centre) == ["event", "event", "live", "live"]
        pictures = [
            item.message for item in centre.received if isinstance(item.message, SnapshotHeader)
        ]
        assert [one.data.camera for one in pictures] == ["north", "south"]
        assert {one.seq for one in pictures} == {None}
