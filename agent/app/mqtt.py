"""The session with the broker: its stage, and the destinations of what it receives."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from agent.app.box_context import BoxContext
from agent.app.feature import Feature
from agent.app.foundation import Uplink
from agent.base.model import IncomingCommand
from agent.capture.jpeg import shrink_jpeg
from agent.config.broker import BrokerConfig
from agent.reporting.mqtt.connection import BirthInputs
from agent.reporting.mqtt.downlink import Downlink
from agent.reporting.mqtt.mqtt_stage import ClientPairs, MqttStage
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.runtime.stage import Stage
from agent.runtime.supervisor import Order


def make_mqtt_stages(
    broker: BrokerConfig,
    box: BoxContext,
    uplink: Uplink,
    features: Iterable[Feature],
    get_birth: Callable[[], BirthInputs],
    on_command: Callable[[IncomingCommand], None],
    on_incident: Callable[[str, ReceivedPublish], None],
    pairs: ClientPairs | None,
) -> Mapping[Order, Sequence[Stage]]:
    """Return the stage that connects the session, with the topics of all features.

    `pairs` are those of key and certificate, None for that of the configuration.
    """
    topics = {topic: take for feature in features for topic, take in feature.topics.items()}
    downlink = Downlink(
        on_command=on_command,
        submit_reply=uplink.submitter.submit,
        authority=uplink.authority,
        topic_handlers=topics,
        on_incident=on_incident,
    )
    stage = MqttStage(
        uplink.session, broker, box.faults, get_birth, box.rng, downlink, shrink_jpeg, pairs
    )
    return {Order.MQTT: [stage]}
