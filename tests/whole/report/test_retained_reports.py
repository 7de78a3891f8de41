"""agent.reporting.mqtt.retained_reports: what has changed is sent again, or all."""

from pathlib import Path

import msgspec

from agent.config.broker import BrokerConfig
from agent.config.desired_config import DesiredContent
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish, Suback
from agent.reporting.payloads import ReportedConfig, ReportedContent
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import BIRTH, BareClient, ReportingBox

KINDS = ("declaration", "config", "config/content")


class Watcher(BareClient):
    """Receives the reports of one box."""

    def __init__(self, broker: BrokerConfig) -> None:
        super().__init__(broker, "watcher")
        self.link.subscribe([topics.up_topic("pole-17", kind) for kind in KINDS])
        self.wait_for(Suback)

    def next_kind(self) -> str:
        received = self.wait_for(ReceivedPublish)
        assert isinstance(received, ReceivedPublish)
        return received.topic.rpartition("up/")[2]


def reported(version: int) -> ReportedConfig:
    return ReportedConfig(
        state="in_force",
        version=version,
        decided=version,
        digest=None,
        since=None,
        by=None,
        refused=None,
    )


def content(version: int) -> ReportedContent:
    return ReportedContent(version=version, digest=None, content=DesiredContent())


def test_a_change_of_one_report_does_not_send_the_other_again(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = BrokerConfig(url=broker.url)
    watcher = Watcher(config)
    with ReportingBox(config, tmp_path) as box:
        assert watcher.next_kind() == "declaration"
        box.birth = msgspec.structs.replace(BIRTH, content=content(1))
        box.session.request_changed_reports()
        assert watcher.next_kind() == "config/content"
        for version in (1, 2):
            box.birth = msgspec.structs.replace(box.birth, config=reported(version))
            box.session.request_changed_reports()
            assert watcher.next_kind() == "config"
        box.session.request_reports()
        assert [watcher.next_kind() for _ in KINDS] == list(KINDS)
    watcher.link.abort()
