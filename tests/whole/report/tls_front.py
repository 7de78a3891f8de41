"""The TLS of a broker, that answers some certificates and not others."""

import socket
import ssl

from cryptography import x509

from tests.loopback_server import TcpProxy
from tests.whole.report.broker import Certificates


class TlsFront(TcpProxy):
    """Forwards to a broker without TLS. `silent_for` is the serial number of a certificate whose client gets no answer."""

    def __init__(self, certificates: Certificates, port: int) -> None:
        tls = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH, cafile=certificates.path("ca.crt")
        )
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_cert_chain(certificates.path("localhost.crt"), certificates.path("localhost.key"))
        super().__init__(port, tls=tls)
        self.silent_for: int | None = None
        self.serials: list[int] = []

    @property
    def url(self) -> str:
        return f"mqtts://localhost:{self.port}"

    def forward(self, client: socket.socket) -> None:
        """Forward what a certificate's client sends, unless it gets no answer."""
        assert isinstance(client, ssl.SSLSocket)
        peer = client.getpeercert(binary_form=True)
        self.serials.append(x509.load_der_x509_certificate(peer or b"").serial_number)
        if self.serials[-1] != self.silent_for:
            super().forward(client)
        else:
            while client.recv(65_536):
                pass
