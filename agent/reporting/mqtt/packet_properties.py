"""Properties of the packets of MQTT 5.0, as paho takes and returns them, and the size of PUBLISH without its payload."""

from collections.abc import Sequence
from functools import lru_cache

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.reporting.mqtt.packets import Connack, Will

DEFAULT_RECEIVE_MAXIMUM = 65_535
"""Of a broker that states none: MQTT 5.0, 3.2.2.3.3."""
MAX_PACKET_BYTES = 268_435_455
"""The largest packet of MQTT 5.0, 2.1.4, with its header."""
MAX_SUBSCRIPTION_ID = 268_435_455
"""MQTT 5.0, 3.8.2.1.2; the smallest is 1."""

JSON_CONTENT_TYPE, JPEG_CONTENT_TYPE = "application/json", "image/jpeg"


@lru_cache(maxsize=16)
def publish_properties(
    content_type: str,
    expiry_s: int | None,
    user_properties: tuple[tuple[str, str], ...],
    response_topic: str | None,
    correlation: bytes | None,
) -> Properties:
    """Return the properties of a PUBLISH, MQTT 5.0, 3.3.2.3. Most messages share one, which takes paho 12 us
    to build.
    """
    values = {
        "PayloadFormatIndicator": int(content_type == JSON_CONTENT_TYPE),
        "ContentType": content_type,
        "MessageExpiryInterval": expiry_s,
        "UserProperty": list(user_properties) or None,
        "ResponseTopic": response_topic,
        "CorrelationData": correlation,
    }
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        if value is not None:
            setattr(properties, name, value)
    return properties


def publish_header_bytes(
    topic: str,
    properties: Sequence[tuple[str, str]],
    response_topic: str | None,
    correlation: bytes | None,
) -> int:
    """Return an upper bound of a PUBLISH packet without its payload: MQTT 5.0, 3.3.2."""
    texts = [topic, response_topic or "", *(text for pair in properties for text in pair)]
    # Fixed header 5, packet id 2, property length 4, expiry 5, payload format 2, content type 30.
    # Up to 5 more for each text.
    return 48 + sum(len(text.encode()) + 5 for text in texts) + len(correlation or b"") + 5


def connect_properties(max_received_bytes: int, session_expiry_s: int) -> Properties:
    """Return the properties of CONNECT, 3.1.2.11."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = max_received_bytes
    properties.SessionExpiryInterval = session_expiry_s
    return properties


def will_properties(will: Will) -> Properties:
    """Return the properties of a will, 3.1.3.2."""
    properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
    properties.PayloadFormatIndicator, properties.ContentType = 1, JSON_CONTENT_TYPE
    properties.WillDelayInterval = will.delay_s
    if will.expiry_s is not None:
        properties.MessageExpiryInterval = will.expiry_s
    return properties


def subscribe_properties(subscription_id: int | None) -> Properties:
    """Return the properties of SUBSCRIBE, 3.8.2.1."""
    properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
    if subscription_id is not None:
        properties.SubscriptionIdentifier = subscription_id
    return properties


def disconnect_properties() -> Properties:
    """Return the properties of DISCONNECT, 3.14.2.2: the session ends with the connection."""
    properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 0
    return properties


def read_connack(properties: object) -> Connack:
    """Return the broker's limits, or the defaults of 3.2.2.3: a property that was not sent is no attribute."""
    return Connack(
        receive_maximum=getattr(properties, "ReceiveMaximum", DEFAULT_RECEIVE_MAXIMUM),
        maximum_qos=getattr(properties, "MaximumQoS", 2),
        max_packet_bytes=getattr(properties, "MaximumPacketSize", MAX_PACKET_BYTES),
        is_retain_available=bool(getattr(properties, "RetainAvailable", 1)),
        has_subscription_ids=bool(getattr(properties, "SubscriptionIdentifierAvailable", 1)),
    )
