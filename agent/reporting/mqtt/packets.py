"""MQTT packets, as a transport passes them to its owner."""

from typing import TypeAlias

import msgspec


class PacketTooLarge(Exception):
    """The broker takes no packet of this size (MQTT 5.0, 3.2.2.3.6)."""

    def __init__(self, size_bytes: int, max_bytes: int) -> None:
        super().__init__(f"{size_bytes} bytes; the broker takes {max_bytes}")


class Will(msgspec.Struct, frozen=True, kw_only=True):
    """Retained message that the broker publishes if the connection ends without a DISCONNECT.

    The broker counts `expiry_s` down from the moment at which it publishes it (MQTT 5.0, 3.1.3.2.4).
    """

    topic: str
    payload: bytes
    expiry_s: int | None = None
    delay_s: int = 0
    """The broker waits this long for the next connection, which cancels the will (MQTT 5.0, 3.1.3.2.2)."""


class Connack(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's CONNACK and its limits. With `maximum_qos` 0 it takes no message that it acknowledges.

    `has_subscription_ids`: it returns with each message the identifiers of the subscriptions that it matched.
    """

    receive_maximum: int
    maximum_qos: int
    max_packet_bytes: int
    is_retain_available: bool
    has_subscription_ids: bool


class Puback(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's PUBACK, with its reason code (MQTT 5.0, 3.4.2.1); below 0x80 is success."""

    mid: int
    reason_code: int
    reason: str


class Suback(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's SUBACK. `failure_reason` is the first reason at or above 0x80, or None."""

    failure_reason: str | None


class ReceivedPublish(msgspec.Struct, frozen=True, kw_only=True):
    """A message for this client. `response_topic` and `correlation` are for its reply; `expiry_s` is what is
    left of its expiry. `subscription_ids` are those of the subscriptions that it matched when the broker received
    it; empty if the broker has none.
    """

    topic: str
    payload: bytes
    retained: bool
    properties: tuple[tuple[str, str], ...]
    response_topic: str | None = None
    correlation: bytes | None = None
    expiry_s: int | None = None
    subscription_ids: tuple[int, ...] = ()


TransportEvent: TypeAlias = Connack | Puback | Suback | ReceivedPublish
