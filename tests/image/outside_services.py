"""The services outside the box: the centre behind a broker, and the server of updates."""

import contextlib
import http.server
import random
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.base.clock import SystemClock
from agent.config.broker import BrokerConfig
from agent.reporting.payloads import HealthMessage
from agent.runtime.stage import StageThread
from centre.client import ActingCentre, CentreClient, ReceivedMessage
from centre.store import CentreStore
from tests.whole.report.broker import Mosquitto

CLOCK = SystemClock()

BROKER_ADDRESS, BUNDLE_SERVER_ADDRESS = "10.0.2.100:1883", "10.0.2.101:80"
"""The address at which a guest reaches them."""
BROKER_URL, BUNDLE_SERVER_URL = "mqtt://10.0.2.100", "http://10.0.2.101"
CHUNK_BYTES = 65536


class BundleServer:
    """A folder over HTTP, in ranges as RAUC and resumed downloads request them. `breaks_at`: the next
    answer ends there, as on a mobile network.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[tuple[str, str]] = []
        """Each request's path, and its range."""
        self.break_at_byte: int | None = None
        server = self

        class Answer(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                pass

            def do_HEAD(self) -> None:
                server._handle(self, body=False)

            def do_GET(self) -> None:
                server._handle(self, body=True)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.port = self._server.server_address[1]

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handle(self, request: http.server.BaseHTTPRequestHandler, *, body: bool) -> None:
        file = self.folder / Path(request.path).name
        range_header = request.headers.get("Range", "")
        self.requests.append((request.path, range_header))
        if not file.is_file():
            request.send_error(404)
            return
        size = file.stat().st_size
        begin, end = 0, size - 1
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", range_header):
            begin = int(found[1])
            end = min(int(found[2] or end), end)
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {begin}-{end}/{size}")
        else:
            request.send_response(200)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("ETag", f'"{file.stat().st_mtime_ns}"')
        request.send_header("Content-Length", str(end + 1 - begin))
        request.end_headers()
        if body:
            self._send_body(request, file, begin, end)

    def _send_body(
        self, request: http.server.BaseHTTPRequestHandler, file: Path, begin: int, end: int
    ) -> None:
        break_at_byte, self.break_at_byte = self.break_at_byte, None
        with file.open("rb") as opened, contextlib.suppress(OSError):
            opened.seek(begin)
            while begin <= end:
                chunk = opened.read(min(CHUNK_BYTES, end + 1 - begin))
                if break_at_byte is not None and begin + len(chunk) > break_at_byte:
                    request.close_connection = True
                    return
                request.wfile.write(chunk)
                begin += len(chunk)


class OutsideWorld:
    """A real mosquitto, a centre that stores and acknowledges, and the bundle server."""

    def __init__(self, folder: Path) -> None:
        for name in ("broker", "shelf"):
            (folder / name).mkdir(parents=True)
        self._changed = threading.Condition()
        self._received: list[ReceivedMessage] = []
        self.broker = Mosquitto(folder / "broker")
        self.bundle_server = BundleServer(folder / "shelf")
        self._store = CentreStore.open(folder / "centre.db")
        client = CentreClient(
            BrokerConfig(url=self.broker.url),
            self._on_message,
            random.Random(7),
            CLOCK.boottime_ns,
            centre=ActingCentre(store=self._store),
        )
        self._thread = StageThread(client, CLOCK.boottime_ns, random.Random(7), vital=False)
        self._thread.start()
        assert client.online.wait(60)

    @property
    def forwards(self) -> dict[str, int]:
        """The ways out of a guest's network."""
        return {BROKER_ADDRESS: self.broker.port, BUNDLE_SERVER_ADDRESS: self.bundle_server.port}

    def wait_for_message(
        self, matches: Callable[[ReceivedMessage], bool], description: str, timeout_s: float
    ) -> ReceivedMessage:
        """The first such message, now or later."""
        with self._changed:
            has_come = self._changed.wait_for(lambda: any(map(matches, self._received)), timeout_s)
            assert has_come, f"no {description} within {timeout_s:g} s"
            return next(item for item in self._received if matches(item))

    def close(self) -> None:
        """Stop everything."""
        self.bundle_server.close()
        self._thread.stop()
        assert self._thread.join(60)
        self._store.close()
        self.broker.stop(signal.SIGKILL)

    def _on_message(self, item: ReceivedMessage) -> None:
        with self._changed:
            self._received.append(item)
            self._changed.notify_all()


@contextlib.contextmanager
def running_outside(folder: Path) -> Iterator[OutsideWorld]:
    """While this is entered."""
    world = OutsideWorld(folder)
    try:
        yield world
    finally:
        world.close()


def is_healthy_report(item: ReceivedMessage, boot: str) -> bool:
    """A report of health of this boot, with a camera that is open."""
    if not isinstance(item.message, HealthMessage) or item.envelope is None:
        return False
    return item.envelope.boot == boot and any(one.open for one in item.message.data.cameras)
