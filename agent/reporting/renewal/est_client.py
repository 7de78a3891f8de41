"""Client of an EST server, RFC 7030: simple re-enrollment over TLS with the present certificate.

The server's authority is pinned by the configuration, which RFC 7030 calls an explicit trust anchor. The server's
/cacerts, its CSR attributes and the linking of the request to the TLS session (3.5) are not used: none of them makes
an answer more trusted than the checks here and in `issued`.
"""

import base64
import binascii
import ssl
from http import HTTPStatus
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.base import pem
from agent.base.http_client import HttpClient, HttpFailed, parse_retry_after, read_body
from agent.config.link import EST_PATH

PACE_S = 60.0
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
    content = base64.encodebytes(request)
    headers = {
        "Content-Type": "application/pkcs10",
        "Content-Transfer-Encoding": "base64",
        "Content-Length": str(len(content)),
    }
    enroll_url = f"https://{parts.netloc}{path}/simplereenroll"
    try:
        with HttpClient(context, PACE_S).request(
            "POST", enroll_url, headers, (content,)
        ) as response:
            body = read_body(response, MAX_RESPONSE_BYTES)
    except HttpFailed as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            problem = f"its certificate is not accepted: {cause.verify_message}"
            raise EstError(f"{url}: {problem}") from error
        raise EstError(f"{url}: {error}") from error
    if response.status == HTTPStatus.ACCEPTED:
        retry_after_s = parse_retry_after(response.headers.get("retry-after"), MAX_RETRY_AFTER_S)
        raise EstError(f"{url}: the server has the request, and has not signed it", retry_after_s)
    if response.status != HTTPStatus.OK:
        shown = body[:_SHOWN_CHARS].decode("utf-8", "replace")
        raise EstError(
            f"{url}: status {response.status} {response.reason}: {' '.join(shown.split())!r}"
        )
    content_type, _, _ = response.headers.get("content-type", "").partition(";")
    return decode_certs_only(url, content_type.strip().lower(), body)


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
