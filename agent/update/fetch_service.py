"""Send one GET for root: `python -m agent.update.fetch_service`.

vigie-fetch@.service runs it as a user without rights, with a connection to vigie-fetch.socket. So no process of root
reads what a network sends but the bytes of a feed and a bundle, which are checked against their signatures.
"""

import logging
import socket
import sys

from agent.base.errors import UserError
from agent.update.errors import UpdateError
from agent.update.fetch_client import MAX_MESSAGE_BYTES, FetchChunk, FetchReply, FetchRequest
from agent.update.https_get import direct_get
from drivers.local_wire import LocalConnection, MalformedMessage, MessageDecoder

log = logging.getLogger(__name__)

CONNECTION_FD = 3
"""The connection that systemd passes, sd_listen_fds(3)."""
IO_TIMEOUT_S = 60.0
_HEADERS = ("content-length", "content-range", "etag", "last-modified")
"""Those that root has a use for."""

_REQUEST_DECODER = MessageDecoder(FetchRequest)


def serve_connection(connection: socket.socket) -> None:
    """Read a request, send its GET, and pass the response on."""
    root = LocalConnection(connection, MAX_MESSAGE_BYTES)
    has_replied = False
    try:
        request = root.receive_request(_REQUEST_DECODER, IO_TIMEOUT_S)
        with direct_get(request.ca_pem)(request.url, request.headers) as response:
            headers = response.headers
            reply = FetchReply(
                status=response.status,
                reason=response.reason,
                headers={name: headers[name] for name in _HEADERS if name in headers},
            )
            root.send(reply, IO_TIMEOUT_S)
            has_replied = True
            for chunk in response.body:
                root.send(FetchChunk(data=chunk), IO_TIMEOUT_S)
            root.send(FetchChunk(data=b""), IO_TIMEOUT_S)
    except (MalformedMessage, UserError, UpdateError) as error:
        log.warning("%s", error)
        if not has_replied:
            root.send(FetchReply(error=str(error)), IO_TIMEOUT_S)
    except OSError as error:
        # The reader has enough, or waits for nothing any more.
        log.info("%s", error)


def main() -> int:
    """Serve the connection that systemd has passed."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    with socket.socket(fileno=CONNECTION_FD) as connection:
        serve_connection(connection)
    return 0


if __name__ == "__main__":
    sys.exit(main())
