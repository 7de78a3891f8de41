"""Errors of a connection to the broker: one line for a person, and a kind for the fault."""

import socket
import ssl
from typing import Literal

from agent.base.message import Message, Text
from agent.config.broker import BrokerConfig
from agent.reporting.mqtt import tls

CONNECT_TIMEOUT_S = 5.0
_UNAVAILABLE_CODES = (0x88, 0x89, 0x8B)
"""Server unavailable, busy, shutting down (MQTT 5.0, 3.2.2.2): no refusal of this box."""
_AUTHENTICATION_CODES = (0x86, 0x87, 0x8C)
"""Bad user name or password, not authorized, bad authentication method."""

ConnectionErrorKind = Literal["unreachable", "refused", "certificate"]
"""`certificate`: the broker refuses the box's certificate, or requires one."""


class MqttConnectionError(Exception):
    """The connection failed or has ended. `str(error)` says why in one line."""

    def __init__(self, kind: ConnectionErrorKind, message: Text) -> None:
        super().__init__(message)
        self.kind: ConnectionErrorKind = kind


def connack_error_kind(reason_code: int, broker: BrokerConfig) -> ConnectionErrorKind:
    """Classify a CONNACK's reason code of 0x80 or above.

    A client with a certificate and no user name is known by the certificate alone.
    """
    if reason_code in _UNAVAILABLE_CODES:
        return "unreachable"
    if (
        reason_code in _AUTHENTICATION_CODES
        and broker.certificate is not None
        and broker.username is None
    ):
        return "certificate"
    return "refused"


def error_from_alert(host_port: str, alert: tls.TlsAlert) -> MqttConnectionError:
    """Return the error for an alert of TLS."""
    return MqttConnectionError(
        "certificate" if alert.is_own_certificate else "refused",
        at_broker(host_port, alert.message),
    )


def error_from_exception(
    host_port: str, address: tls.BrokerAddress, error: Exception
) -> MqttConnectionError:
    """Return the error for an exception of the network or of TLS while connecting."""
    if isinstance(error, ssl.SSLCertVerificationError):
        problem = Message("its certificate is not accepted: {reason}", reason=error.verify_message)
        return MqttConnectionError("refused", at_broker(host_port, problem))
    if isinstance(error, ssl.SSLError):
        reason = error.reason or "no TLS"
        return error_from_alert(
            host_port, tls.find_alert(reason) or tls.TlsAlert(reason, is_own_certificate=False)
        )
    if isinstance(error, TimeoutError):
        return MqttConnectionError(
            "unreachable",
            at_broker(host_port, Message("no answer in {seconds:g} s", seconds=CONNECT_TIMEOUT_S)),
        )
    if isinstance(error, socket.gaierror):
        return MqttConnectionError(
            "unreachable",
            at_broker(
                host_port,
                Message("the name is not known: {reason}", reason=str(error.strerror)),
            ),
        )
    text: Text = getattr(error, "strerror", None) or str(error)
    if isinstance(error, ConnectionRefusedError):
        text = Message(
            "{problem}: {reason}",
            problem=text,
            reason=Message("the machine answers, but no broker on this port"),
        )
    if isinstance(error, ConnectionResetError) and address.is_tls:
        text = Message("{reason} in the greeting; this port may not speak TLS", reason=text)
    return MqttConnectionError("unreachable", at_broker(host_port, text))


def at_broker(host_port: str, problem: Text) -> Message:
    """Return a problem behind the address that has it."""
    return Message("{problem}: {reason}", problem=host_port, reason=problem)
