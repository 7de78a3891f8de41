"""A broker's address, the TLS context of a connection to it, and TLS alerts in words."""

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from agent.base.errors import UserError
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file
from agent.base.message import Message
from agent.base.tls_authorities import read_authorities, trust_authorities
from agent.config.broker import BrokerConfig

PROBE_TIMEOUT_S = 2.0


class BrokerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A broker's host, port and scheme."""

    host: str
    port: int
    is_tls: bool


def parse_broker_url(url: str) -> BrokerAddress:
    """Parse a URL that the configuration's check has accepted."""
    parts = urlsplit(url)
    is_tls = parts.scheme == "mqtts"
    return BrokerAddress(
        host=parts.hostname or "", port=parts.port or (8883 if is_tls else 1883), is_tls=is_tls
    )


def can_reach(url: str) -> bool:
    """Return True if something listens at a broker's address. Blocks for up to PROBE_TIMEOUT_S."""
    address = parse_broker_url(url)
    try:
        socket.create_connection((address.host, address.port), PROBE_TIMEOUT_S).close()
    except (OSError, UnicodeError):
        return False
    return True


def load_ssl_context(broker: BrokerConfig) -> ssl.SSLContext | None:
    """Read the TLS files of a broker's configuration. Return None for `mqtt://`.

    Raises: UserError that names the key, the file and what is wrong with it.
    """
    if not parse_broker_url(broker.url).is_tls:
        return None
    for key in ("certificate", "key"):
        path = getattr(broker, key)
        if path is not None:
            _read_file(key, path)
    label = f"broker.ca = {broker.ca!r}"
    context = trust_authorities(read_authorities(broker.ca, label), label)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if broker.certificate is not None:
        try:
            # An empty password: OpenSSL would otherwise ask on the terminal for an encrypted key.
            context.load_cert_chain(broker.certificate, broker.key, password="")
        except ssl.SSLError as error:
            raise UserError(
                Message(
                    "{label}: {problem}",
                    label=f"broker.certificate = {broker.certificate!r}, broker.key = {broker.key!r}",
                    problem=_key_pair_problem(error),
                )
            ) from error
    return context


def read_password(broker: BrokerConfig) -> str | None:
    """Read the password from its file, without the line's end. Raises: UserError."""
    if broker.password_file is None:
        return None
    try:
        return _read_file("password_file", broker.password_file).decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError(
            Message("{label}: not UTF-8", label=f"broker.password_file = {broker.password_file!r}")
        ) from error


def _read_file(key: str, path: str) -> bytes:
    try:
        return read_regular_file(Path(path), MAX_PEM_BYTES)
    except OSError as error:
        raise UserError(
            Message(
                "{label}: {problem}",
                label=f"broker.{key} = {path!r}",
                problem=error.strerror or str(error),
            )
        ) from error


def _key_pair_problem(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    return "not a certificate and its unencrypted key in PEM form"


class TlsSocket(ssl.SSLSocket):
    """Closes itself if the handshake fails: paho drops it then and leaves it open."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 (as in ssl)
        """Shake hands, or close and raise the error of `ssl`."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class TlsAlert(msgspec.Struct, frozen=True):
    """A reason of OpenSSL in words, and whether it is about the box's certificate."""

    message: str
    is_own_certificate: bool = True


_ALERTS: Mapping[str, TlsAlert] = {
    "CERTIFICATE_REQUIRED": TlsAlert(
        "the broker wants a certificate: set broker.certificate and broker.key, of a command --certificate and --key"
    ),
    "ALERT_UNKNOWN_CA": TlsAlert("the broker does not know who signed broker.certificate"),
    "CERTIFICATE_EXPIRED": TlsAlert("broker.certificate has expired"),
    "CERTIFICATE_REVOKED": TlsAlert("broker.certificate is revoked"),
    "BAD_CERTIFICATE": TlsAlert("the broker does not accept broker.certificate"),
    "CERTIFICATE_UNKNOWN": TlsAlert("the broker does not accept broker.certificate"),
    "UNSUPPORTED_CERTIFICATE": TlsAlert("the broker takes no certificate of this kind"),
    "WRONG_VERSION_NUMBER": TlsAlert("this port does not speak TLS", is_own_certificate=False),
    "HANDSHAKE_FAILURE": TlsAlert(
        "no TLS version or cipher in common with the broker", is_own_certificate=False
    ),
}
"""OpenSSL's reasons, from the alerts of RFC 8446 section 6.2."""


def find_alert(text: str) -> TlsAlert | None:
    """Find a known reason of OpenSSL in a text, or None."""
    return next((alert for reason, alert in _ALERTS.items() if reason in text), None)
