"""Two real brokers: a box reports to the standby while the first is away, and to the first again when it is back."""

import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.config.broker import BrokerConfig
from agent.reporting.mqtt import mqtt_stage
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import make_event
from tests.whole.report.reporting_box import CentreListener, ReportingBox, wait_until


def client_of(broker: Mosquitto) -> BrokerConfig:
    return BrokerConfig(url=broker.url)


@pytest.fixture(autouse=True)
def _short_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_stage, "RETURN_AFTER_S", 0.1)
    monkeypatch.setattr(mqtt_stage, "MAX_RETURN_AFTER_S", 0.1)


@pytest.mark.raises_fault("NET-01")
def test_the_standby_takes_over_and_the_first_broker_is_preferred_when_it_is_back(
    brokers: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    first, standby = brokers(), brokers()
    config = msgspec.structs.replace(client_of(first), standby_urls=(standby.url,))
    with (
        CentreListener(client_of(standby), tmp_path / "standby.db") as standby_centre,
        ReportingBox(config, tmp_path / "outbox") as box,
    ):
        wait_until(lambda: box.session.health().connected)
        first.stop(signal.SIGKILL)
        for number in range(20):
            box.outbox.put(make_event(number))
        standby_centre.wait_for(lambda: set(range(20)) <= set(standby_centre.event_numbers()))
        wait_until(lambda: box.outbox.depth == 0)

        first.start()
        with CentreListener(client_of(first), tmp_path / "first.db") as first_centre:
            first_centre.wait_for(first_centre.births)
            for number in range(20, 40):
                box.outbox.put(make_event(number))
            first_centre.wait_for(lambda: set(range(20, 40)) <= set(first_centre.event_numbers()))
            wait_until(lambda: box.outbox.depth == 0)
        standby_centre.wait_for(lambda: standby_centre.status_names()[-1:] == ["StoppedStatus"])


@pytest.mark.raises_fault("NET-01")
def test_a_box_that_starts_while_the_first_broker_is_away_reports_to_the_standby(
    brokers: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    first, standby = brokers(), brokers()
    first.stop(signal.SIGTERM)
    config = msgspec.structs.replace(client_of(first), standby_urls=(standby.url,))
    with (
        CentreListener(client_of(standby), tmp_path / "standby.db") as centre,
        ReportingBox(config, tmp_path / "outbox") as box,
    ):
        centre.wait_for(centre.births)
        wait_until(lambda: box.faults.active() == ())
