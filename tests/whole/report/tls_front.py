"""The TLS of a broker, that answers some certificates and not others."""

import contextlib
import select
import socket
import ssl
import threading

from cryptography import x509

from tests.whole.report.broker import Certificates


class TlsFront:
    """Forwards to a broker without TLS. `silent_for` is the serial number of a certificate whose client gets no answer."""

    def __init__(self, certificates: Certificates, port: int) -> None:
        self.silent_for: int | None = None
        self.serials: list[int] = []
        self._port = port
        self._context = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH, cafile=certificates.path("ca.crt")
        )
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_cert_chain(
            certificates.path("localhost.crt"), certificates.path("localhost.key")
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"mqtts://localhost:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            with self._context.wrap_socket(raw, server_side=True) as client:
                peer = client.getpeercert(binary_form=True)
                self.serials.append(x509.load_der_x509_certificate(peer or b"").serial_number)
                if self.serials[-1] == self.silent_for:
                    _read_to_the_end(client)
                else:
                    self._forward(client)

    def _forward(self, client: ssl.SSLSocket) -> None:
        """Until either side ends."""
        with socket.create_connection(("127.0.0.1", self._port)) as broker:
            while True:
                is_from_client = (
                    client.pending() or client in select.select([client, broker], [], [])[0]
                )
                source, target = (client, broker) if is_from_client else (broker, client)
                try:
                    data = source.recv(65_536)
                except OSError:
                    return
                if not data:
                    return
                target.sendall(data)


def _read_to_the_end(client: ssl.SSLSocket) -> None:
    with contextlib.suppress(OSError):
        while client.recv(65_536):
            pass
