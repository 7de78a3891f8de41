"""CONNECT, its will, CONNACK and DISCONNECT of MQTT 5.0: their properties, as paho takes and returns them."""

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.reporting.mqtt.packets import Connack, Will
from agent.reporting.mqtt.publish_packet import JSON_CONTENT_TYPE

DEFAULT_RECEIVE_MAXIMUM = 65_535
"""Of a broker that states none: MQTT 5.0, 3.2.2.3.3."""
MAX_PACKET_BYTES = 268_435_455
"""The largest packet of MQTT 5.0, 2.1.4, with its header."""
MAX_SUBSCRIPTION_ID = 268_435_455
"""MQTT 5.0, 3.8.2.1.2; the smallest is 1."""


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
