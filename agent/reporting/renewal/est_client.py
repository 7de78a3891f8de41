"""Client of an EST server, RFC 7030: simple re-enrollment over TLS with the present certificate.

The server's authority is pinned by the configuration, which RFC 7030 calls an explicit trust anchor. The server's
/cacerts, its CSR attributes and the linking of the request to the TLS session (3.5) are not used: none of them makes
an answer more trusted than the checks here and in `issued`.
"""

import base64
import binascii
import http.client
import ssl
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.base import pem
from agent.config.renewal import EST_PATH

TIMEOUT_S = 30.0
"""For each step of the exchange."""
MAX_RESPONSE_BYTES = 65_536
MAX_RETRY_AFTER_S = 86_400.0
_SHOWN_CHARS = 100


class EstError(Exception):
    """No certificate was issued. `str(error)` says why in one line; `retry_after_s` is the server's wish."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def build_request(current: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the request for a new key, DER. Name and alternative names are those of the present certificate.

    RFC 7030, 4.2.2. Raises: ValueError if they cannot be read.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(current.subject)
    try:
        names = current.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        pass
    else:
        builder = builder.add_extension(names.value, critical=names.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def reenroll(url: str, context: ssl.SSLContext, request: bytes) -> list[x509.Certificate]:
    """Send a request, and return the certificates of the answer. Raises: EstError."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/") or EST_PATH
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port or 443, timeout=TIMEOUT_S, context=context
    )
    headers = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"}
    try:
        connection.request(
            "POST", f"{path}/simplereenroll", body=base64.encodebytes(request), headers=headers
        )
        response = connection.getresponse()
        body = response.read(MAX_RESPONSE_BYTES + 1)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise EstError(f"{url}: {_one_line(error)}") from error
    finally:
        connection.close()
    if response.status == http.client.ACCEPTED:
        retry_after_s = parse_retry_after(response.headers.get("Retry-After"))
        raise EstError(f"{url}: the server has the request, and has not signed it", retry_after_s)
    if response.status != http.client.OK:
        shown = body[:_SHOWN_CHARS].decode("utf-8", "replace")
        raise EstError(
            f"{url}: status {response.status} {response.reason}: {' '.join(shown.split())!r}"
        )
    return decode_certs_only(url, response.headers.get_content_type(), body)


def decode_certs_only(url: str, content_type: str, body: bytes) -> list[x509.Certificate]:
    """Decode the base64 of a certs-only message, RFC 7030 4.2.3 and RFC 8951. Raises: EstError."""
    if content_type != "application/pkcs7-mime":
        raise EstError(f"{url}: {content_type!r}: allowed: application/pkcs7-mime")
    if len(body) > MAX_RESPONSE_BYTES:
        raise EstError(f"{url}: more than {MAX_RESPONSE_BYTES} bytes")
    try:
        return pem.decode_pkcs7_certificates(
            base64.b64decode(b"".join(body.split()), validate=True)
        )
    except (binascii.Error, pem.MalformedCertificate) as error:
        raise EstError(f"{url}: not a certs-only message in base64: {error}") from error


def parse_retry_after(text: str | None) -> float | None:
    """Return the seconds of a Retry-After, bounded, or None. A date counts as none."""
    if text is None or not text.strip().isdecimal() or len(text) > len("99999999"):
        return None
    return min(MAX_RETRY_AFTER_S, float(text))


def _one_line(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
