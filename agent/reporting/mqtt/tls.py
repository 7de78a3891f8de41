"""A broker's address, and the TLS side of a connection to it: files in, and errors in words."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from agent.base.errors import UserError
from agent.config.configuration import BrokerConfig


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A broker's address, taken apart."""

    host: str
    port: int
    tls: bool


def address_of(url: str) -> Address:
    """The parts of a URL that `config.check_broker` has found good."""
    parts = urlsplit(url)
    tls = parts.scheme == "mqtts"
    return Address(host=parts.hostname or "", port=parts.port or (8883 if tls else 1883), tls=tls)


def context_of(broker: BrokerConfig) -> ssl.SSLContext | None:
    """The TLS side of a broker's configuration, read from its files now; None for `mqtt://`.

    Raises BadInput that names the key, the file and what is wrong with it.
    """
    if not address_of(broker.url).tls:
        return None
    for key in ("ca", "certificate", "key"):
        path = getattr(broker, key)
        if path is not None:
            _read(key, path)
    try:
        context = ssl.create_default_context(cafile=broker.ca)
    except ssl.SSLError as error:
        raise UserError(f"broker.ca = {broker.ca!r}: holds no certificate in PEM form") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if broker.certificate is not None:
        try:
            # An empty password: OpenSSL would otherwise ask on the terminal for an encrypted key.
            context.load_cert_chain(broker.certificate, broker.key, password="")
        except ssl.SSLError as error:
            raise UserError(
                f"broker.certificate = {broker.certificate!r}, broker.key = {broker.key!r}: "
                f"{_why_no_pair(error)}"
            ) from error
    return context


def password_of(broker: BrokerConfig) -> str | None:
    """The password in its file, without the line's end. Raises BadInput."""
    if broker.password_file is None:
        return None
    try:
        return _read("password_file", broker.password_file).decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError(f"broker.password_file = {broker.password_file!r}: not UTF-8") from error


def _read(key: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"broker.{key} = {path!r}: {error.strerror or error}") from error


def _why_no_pair(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    return "not a certificate and its unencrypted key in PEM form"


class TlsSocket(ssl.SSLSocket):
    """Closes itself where the handshake fails: paho forgets it then, and leaves it open."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 (as in ssl)
        """Greet, or close and raise what `ssl` raises."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class Alert(msgspec.Struct, frozen=True):
    """What a reason of OpenSSL's means to a person, and whether it is about our certificate."""

    meaning: str
    ours: bool = True


_ALERTS: Mapping[str, Alert] = {
    "CERTIFICATE_REQUIRED": Alert(
        "the broker wants a certificate: set broker.certificate and broker.key"
    ),
    "ALERT_UNKNOWN_CA": Alert("the broker does not know who signed broker.certificate"),
    "CERTIFICATE_EXPIRED": Alert("broker.certificate has expired"),
    "CERTIFICATE_REVOKED": Alert("broker.certificate is revoked"),
    "BAD_CERTIFICATE": Alert("the broker does not accept broker.certificate"),
    "CERTIFICATE_UNKNOWN": Alert("the broker does not accept broker.certificate"),
    "UNSUPPORTED_CERTIFICATE": Alert("the broker takes no certificate of this kind"),
    "WRONG_VERSION_NUMBER": Alert("this port does not speak TLS", ours=False),
    "HANDSHAKE_FAILURE": Alert("no TLS version or cipher in common with the broker", ours=False),
}
"""OpenSSL's reasons, from the alerts of RFC 8446 section 6.2."""


def alert_in(said: str) -> Alert | None:
    """OpenSSL's reason that stands somewhere in `said`; None where it is unknown."""
    return next((alert for reason, alert in _ALERTS.items() if reason in said), None)
