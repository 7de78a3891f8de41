"""Reports of health: the newest goes out when it can, and none of them is written to the disk."""

from pathlib import Path

import msgspec

from agent.config.configuration import BrokerConfig
from agent.reporting import topics
from agent.reporting.payloads import HealthMessage
from tests.pure.test_health_file import REPORT
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import CLOCK
from tests.whole.report.street import Box, Client, Listener, wait_until

S = 1_000_000_000


def config(broker: Mosquitto) -> BrokerConfig:
    return BrokerConfig(url=broker.url, keepalive_s=5)


def tell(box: Box, uptime_s: float, age_s: float = 0.0) -> None:
    report = msgspec.structs.replace(REPORT, uptime_s=uptime_s)
    t_ns = CLOCK.boottime_ns() - int(age_s * S)
    box.session.tell(topics.health_draft(report, t_ns))


def told(listener: Listener) -> list[float]:
    return [
        item.message.data.uptime_s
        for item in list(listener.heard)
        if isinstance(item.message, HealthMessage)
    ]


def test_a_report_goes_out_at_once_without_a_number_and_without_the_disk(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with (
        Listener(config(broker), tmp_path / "centre.db") as centre,
        Box(config(broker), tmp_path) as box,
    ):
        wait_until(lambda: box.session.health().centre_listens)
        for uptime_s in (1.0, 2.0, 3.0):
            tell(box, uptime_s)
            centre.wait(lambda uptime_s=uptime_s: uptime_s in told(centre))
        wait_until(lambda: box.session.round_trip_ms() is not None)
        assert box.outbox.depth == 0
        (first, *_) = [h.message for h in centre.heard if isinstance(h.message, HealthMessage)]
        assert first.seq is None
        assert first.data == msgspec.structs.replace(REPORT, uptime_s=1.0)


def test_while_the_broker_is_away_the_newest_waits_and_an_old_one_is_forgotten(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with Listener(config(broker)) as watcher:
        box = Box(config(broker), tmp_path)
        tell(box, 1.0)
        tell(box, 2.0)
        with box:
            watcher.wait(lambda: told(watcher) == [2.0])
            tell(box, 3.0, age_s=topics.HEALTH_EXPIRY_S + 1)
            watcher.wait(lambda: watcher.states() == ["Online"])
            tell(box, 4.0)
            watcher.wait(lambda: told(watcher)[-1:] == [4.0])
        assert 3.0 not in told(watcher)


def test_it_is_told_while_a_centre_is_away_too(broker: Mosquitto, tmp_path: Path) -> None:
    centre = Client(config(broker), "centre")
    centre.say(topics.CENTRE_STATE, b'{"state":"away"}', retained=True)
    with Listener(config(broker)) as watcher, Box(config(broker), tmp_path) as box:
        watcher.wait(watcher.births)
        tell(box, 1.0)
        watcher.wait(lambda: told(watcher) == [1.0])
    centre.link.close()
