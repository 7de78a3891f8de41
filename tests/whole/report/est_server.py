"""A small EST server (RFC 7030): /cacerts and /simplereenroll over TLS with client certificates.

No package of the registries has one. Python's ssl and http.server do the protocol, cryptography signs and encodes.
"""

import base64
import http.server
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.server_certificate import CA_USAGES, OTHER_USAGES

PKCS7_TYPE = "application/pkcs7-mime; smime-type=certs-only"
Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""
CertificateHook = Callable[[x509.CertificateBuilder], x509.CertificateBuilder]


class SigningAuthority:
    """An authority, or a certificate and key that pose as one, that signs requests for `valid`."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.valid = timedelta(days=90)
        self.certificate = certificate
        self._signer = key

    @classmethod
    def load(cls, folder: Path, name: str = "ca") -> "SigningAuthority":
        """That of `name`.crt and `name`.key in a folder."""
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(certificate, key)

    def make_intermediate(
        self,
        name: str,
        *,
        days: tuple[int, int] = (-1, 900),
        path_length: int | None = None,
        may_sign: bool = True,
    ) -> "SigningAuthority":
        """An authority below this one."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(
                self.certificate.subject,
                x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
                key.public_key(),
                x509.random_serial_number(),
                now + timedelta(days=days[0]),
                now + timedelta(days=days[1]),
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
            .add_extension(key_usage("key_cert_sign" if may_sign else "crl_sign"), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._signer.public_key()),
                critical=False,
            )
            .sign(self._signer, hashes.SHA256())
        )
        return SigningAuthority(certificate, key)

    def sign(
        self,
        request: x509.CertificateSigningRequest,
        change: CertificateHook = lambda builder: builder,
    ) -> x509.Certificate:
        """A certificate for the request, valid from now on."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(self.certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + self.valid)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._signer.public_key()),
                critical=False,
            )
            .add_extension(key_usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        )
        for extension in request.extensions:
            builder = builder.add_extension(extension.value, critical=extension.critical)
        return change(builder).sign(self._signer, hashes.SHA256())


def key_usage(*usages: str) -> x509.KeyUsage:
    """A key usage with these bits."""
    fields = (*CA_USAGES, *OTHER_USAGES)
    return x509.KeyUsage(**{field: field in usages for field in fields})


class EstServer:
    """Signs what a client with a certificate of the authority requests. `folder` has ca.crt, ca.key and
    `name`.crt, `name`.key of the server.

    `answers` replaces the next answers: a status, its headers and its body each.
    """

    def __init__(self, folder: Path, name: str = "localhost") -> None:
        self.requests: list[x509.CertificateSigningRequest] = []
        self.peers: list[str] = []
        self.answers: list[Answer] = []
        self.authority = SigningAuthority.load(folder)
        self.make_answer: Callable[[x509.CertificateSigningRequest], Answer] = self.sign
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.crt"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
        self.sends_no_answer = False
        """It sends that it continues, without end."""
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/.well-known/est/cacerts":
                    self._answer(*encode_certs_only([server.authority.certificate]))
                else:
                    self._answer(HTTPStatus.NOT_FOUND, {}, b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                while server.sends_no_answer:
                    self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                peer = self.connection.getpeercert(binary_form=True)  # type: ignore[attr-defined]
                current = x509.load_der_x509_certificate(peer)
                self._answer(
                    *server.answer(self.path, self.headers.get_content_type(), body, current)
                )

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # a refused handshake
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def sign(self, request: x509.CertificateSigningRequest) -> Answer:
        """The certificate for a request."""
        return encode_certs_only([self.authority.sign(request)])

    def answer(
        self, path: str, content_type: str, body: bytes, current: x509.Certificate
    ) -> Answer:
        """The answer to a request of the client with this certificate."""
        if path != "/.well-known/est/simplereenroll":
            return HTTPStatus.NOT_FOUND, {}, b""
        if content_type != "application/pkcs10":
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, {}, b""
        request = x509.load_der_x509_csr(base64.b64decode(body))
        self.requests.append(request)
        self.peers.append(current.subject.rfc4514_string())
        if not request.is_signature_valid:
            return HTTPStatus.BAD_REQUEST, {}, b"the request is not signed with its key"
        if self._names(request.subject, request.extensions) != self._names(
            current.subject, current.extensions
        ):
            return HTTPStatus.BAD_REQUEST, {}, b"other names than in the present certificate"
        return self.answers.pop(0) if self.answers else self.make_answer(request)

    @staticmethod
    def _names(subject: x509.Name, extensions: x509.Extensions) -> tuple[x509.Name, object]:
        try:
            found = extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return subject, None
        return subject, found.value


def encode_certs_only(certificates: list[x509.Certificate]) -> Answer:
    """A certs-only answer."""
    der = pkcs7.serialize_certificates(certificates, Encoding.DER)
    headers = {"Content-Type": PKCS7_TYPE, "Content-Transfer-Encoding": "base64"}
    return HTTPStatus.OK, headers, base64.encodebytes(der)
