"""Topics that a centre publishes on, except its commands. Pure.

The centre's name is in the topic, so that a broker's access list can bind it to a client.
"""

from agent.config.names import NAME_PATTERN
from agent.reporting.topics import TOPIC_ROOT, down_topic

CENTRE_STATE_FILTER = f"{TOPIC_ROOT}/centre/+/state"


def centre_state_topic(centre: str) -> str:
    """Return the topic of a centre's state."""
    return CENTRE_STATE_FILTER.replace("+", centre)


def ack_topic(box: str, centre: str) -> str:
    """Return the topic of a centre's acknowledgements to a box; `+` stands for all centres."""
    return down_topic(box, f"ack/{centre}")


def parse_centre_state_topic(topic: str) -> str | None:
    """Return the name of the centre whose state is on this topic, or None."""
    name = topic.removeprefix(f"{TOPIC_ROOT}/centre/").removesuffix("/state")
    return name if topic == centre_state_topic(name) and _is_name(name) else None


def parse_ack_topic(box: str, topic: str) -> str | None:
    """Return the name of the centre that acknowledges messages of this box on a topic, or None."""
    name = topic.removeprefix(ack_topic(box, ""))
    return name if topic == ack_topic(box, name) and _is_name(name) else None


def _is_name(text: str) -> bool:
    return NAME_PATTERN.fullmatch(text) is not None
