"""Why there is no connection to the broker, in one line for a person, and in a kind for the fault."""

import socket
import ssl
from typing import Literal

from agent.config.configuration import BrokerConfig
from agent.reporting.mqtt import tls

CONNECT_TIMEOUT_S = 5.0
_UNAVAILABLE = (0x88, 0x89, 0x8B)
"""Server unavailable, busy, shutting down (MQTT 5.0, 3.2.2.2): it is not this box that is refused."""
_NOT_YOU = (0x86, 0x87, 0x8C)
"""Bad user name or password, not authorized, bad authentication method."""

LinkErrorKind = Literal["unreachable", "refused", "certificate"]
"""`certificate`: the broker refuses ours, or wants one."""


class LinkError(Exception):
    """There is no connection, or no more. `str(error)` says why in one line."""

    def __init__(self, kind: LinkErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: LinkErrorKind = kind


def kind_of(connack: int, broker: BrokerConfig) -> LinkErrorKind:
    """What a CONNACK's reason code of 0x80 or above is about. Who shows a certificate and no name is
    known by his certificate alone.
    """
    if connack in _UNAVAILABLE:
        return "unreachable"
    if connack in _NOT_YOU and broker.certificate is not None and broker.username is None:
        return "certificate"
    return "refused"


def of_alert(where: str, alert: tls.Alert) -> LinkError:
    """What TLS has said."""
    return LinkError("certificate" if alert.ours else "refused", f"{where}: {alert.meaning}")


def of_opening(where: str, address: tls.Address, error: Exception) -> LinkError:
    """What the network or TLS says about opening a connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"its certificate is not accepted: {error.verify_message}"
        return LinkError("refused", f"{where}: {why}")
    if isinstance(error, ssl.SSLError):
        reason = error.reason or "no TLS"
        return of_alert(where, tls.alert_in(reason) or tls.Alert(reason, ours=False))
    if isinstance(error, TimeoutError):
        return LinkError("unreachable", f"{where}: no answer in {CONNECT_TIMEOUT_S:g} s")
    if isinstance(error, socket.gaierror):
        return LinkError("unreachable", f"{where}: the name is not known: {error.strerror}")
    said = getattr(error, "strerror", None) or str(error)
    if isinstance(error, ConnectionResetError) and address.tls:
        said += " in the greeting; this port may not speak TLS"
    return LinkError("unreachable", f"{where}: {said}")
