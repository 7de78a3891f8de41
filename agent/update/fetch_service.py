"""Send one GET for root: `python -m agent.update.fetch_service`.

vigie-fetch@.service runs it as a user without rights, with a connection to vigie-fetch.socket. So no process of root
reads what a network sends but the bytes of a feed and a bundle, which are checked against their signatures.
"""

import logging
import socket
import sys

import msgspec

from agent.base.errors import UserError
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.update.errors import UpdateError
from agent.update.fetch_client import CHUNK_LENGTH, MAX_LINE_BYTES, FetchReply, FetchRequest
from agent.update.https_get import direct_get

log = logging.getLogger(__name__)

CONNECTION_FD = 3
"""The connection that systemd passes, sd_listen_fds(3)."""
IO_TIMEOUT_S = 60.0

_REQUEST_DECODER = JsonDecoder(FetchRequest)


def serve_connection(connection: socket.socket) -> None:
    """Read a request, send its GET, and pass the response on."""
    connection.settimeout(IO_TIMEOUT_S)
    has_replied = False
    try:
        with connection.makefile("rb") as reader:
            request = _REQUEST_DECODER.decode(reader.readline(MAX_LINE_BYTES))
        with direct_get(None, request.ca_pem)(request.url, request.headers) as response:
            reply = FetchReply(
                status=response.status, reason=response.reason, headers=dict(response.headers)
            )
            _send(connection, reply)
            has_replied = True
            for chunk in response.iter_body():
                connection.sendall(CHUNK_LENGTH.pack(len(chunk)) + chunk)
            connection.sendall(CHUNK_LENGTH.pack(0))
    except (MalformedJson, UserError, UpdateError) as error:
        log.warning("%s", error)
        if not has_replied:
            _send(connection, FetchReply(error=str(error)))
    except OSError as error:
        # The reader has enough, or waits for nothing any more.
        log.info("%s", error)


def _send(connection: socket.socket, reply: FetchReply) -> None:
    connection.sendall(msgspec.json.encode(reply) + b"\n")


def main() -> int:
    """Serve the connection that systemd has passed."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    with socket.socket(fileno=CONNECTION_FD) as connection:
        serve_connection(connection)
    return 0


if __name__ == "__main__":
    sys.exit(main())
