"""agent.reporting.mqtt.session: the newest health report is sent when possible, and none is written to the
disk.
"""

from pathlib import Path

import msgspec

from agent.config.broker import BrokerConfig
from agent.reporting import centre_topics, outgoing_messages
from agent.reporting.payloads import HealthMessage
from tests.parts.test_health_file import REPORT
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK
from tests.whole.report.reporting_box import BareClient, CentreListener, ReportingBox, wait_until

S = 1_000_000_000
INTERVAL_S = 600


def config(broker: Mosquitto) -> BrokerConfig:
    return BrokerConfig(url=broker.url, keepalive_s=5)


def tell(box: ReportingBox, uptime_s: float, age_s: float = 0.0) -> None:
    report = msgspec.structs.replace(REPORT, uptime_s=uptime_s)
    t_ns = CLOCK.boottime_ns() - int(age_s * S)
    box.session.unstored.put(outgoing_messages.build_health_message(report, t_ns, INTERVAL_S))


def reported(listener: CentreListener) -> list[float]:
    return [
        item.message.data.uptime_s
        for item in list(listener.received)
        if isinstance(item.message, HealthMessage)
    ]


def test_a_health_report_is_sent_at_once_without_a_number_and_without_the_disk(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with (
        CentreListener(config(broker), tmp_path / "centre.db") as centre,
        ReportingBox(config(broker), tmp_path) as box,
    ):
        wait_until(lambda: box.session.health().centre_listening)
        for uptime_s in (1.0, 2.0, 3.0):
            tell(box, uptime_s)
            centre.wait_for(lambda uptime_s=uptime_s: uptime_s in reported(centre))
        wait_until(lambda: box.session.round_trip_ms() is not None)
        assert box.outbox.depth == 0
        (first, *_) = [h.message for h in centre.received if isinstance(h.message, HealthMessage)]
        assert first.seq is None
        assert first.data == msgspec.structs.replace(REPORT, uptime_s=1.0)


def test_the_newest_report_is_retained_for_three_intervals(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with CentreListener(config(broker)) as first, ReportingBox(config(broker), tmp_path) as box:
        tell(box, 1.0)
        first.wait_for(lambda: reported(first) == [1.0])
        with CentreListener(config(broker)) as later:
            later.wait_for(lambda: reported(later) == [1.0])
    (item,) = [item for item in later.received if isinstance(item.message, HealthMessage)]
    assert item.retained
    assert item.expiry_s is not None
    assert 2 * INTERVAL_S < item.expiry_s <= 3 * INTERVAL_S


def test_while_the_broker_is_away_only_the_newest_report_waits(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with CentreListener(config(broker)) as watcher:
        box = ReportingBox(config(broker), tmp_path)
        tell(box, 1.0)
        tell(box, 2.0)
        with box:
            watcher.wait_for(lambda: reported(watcher) == [2.0])
            tell(box, 3.0, age_s=outgoing_messages.HEALTH_EXPIRY_INTERVALS * INTERVAL_S + 1)
            watcher.wait_for(lambda: watcher.status_names() == ["OnlineStatus"])
            tell(box, 4.0)
            watcher.wait_for(lambda: reported(watcher)[-1:] == [4.0])
        assert 3.0 not in reported(watcher)


def test_health_reports_are_sent_without_a_centre_too(broker: Mosquitto, tmp_path: Path) -> None:
    centre = BareClient(config(broker), "centre")
    centre.publish(centre_topics.centre_state_topic("centre"), b'{"state":"away"}', retained=True)
    with CentreListener(config(broker)) as watcher, ReportingBox(config(broker), tmp_path) as box:
        watcher.wait_for(watcher.births)
        tell(box, 1.0)
        watcher.wait_for(lambda: reported(watcher) == [1.0])
    centre.link.close()
