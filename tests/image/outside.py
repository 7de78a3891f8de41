"""What stands outside the box: the centre behind a broker, and the shelf that updates are fetched from."""

import contextlib
import http.server
import random
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.base.clock import SystemClock
from agent.config.configuration import BrokerConfig
from agent.reporting.payloads import HealthMessage
from agent.runtime.stage import StageThread
from centre.client import CentreClient, ReceivedMessage
from centre.store import CentreStore
from tests.whole.report.broker import Mosquitto

CLOCK = SystemClock()

BROKER_AT, SHELF_AT = "10.0.2.100:1883", "10.0.2.101:80"
"""Where a guest finds them."""
BROKER_URL, SHELF_URL = "mqtt://10.0.2.100", "http://10.0.2.101"
PIECE = 65536


class Shelf:
    """A folder over HTTP, in ranges as RAUC and a download that goes on ask for. `breaks_at`: there the
    next answer ends, as a mobile network does it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str]] = []
        """Each request's path, and its range."""
        self.breaks_at: int | None = None
        shelf = self

        class Answer(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                pass

            def do_HEAD(self) -> None:
                shelf._answer(self, body=False)

            def do_GET(self) -> None:
                shelf._answer(self, body=True)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.port = self._server.server_address[1]

    def close(self) -> None:
        """Nobody answers any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, to: http.server.BaseHTTPRequestHandler, *, body: bool) -> None:
        file = self.folder / Path(to.path).name
        asked = to.headers.get("Range", "")
        self.asked.append((to.path, asked))
        if not file.is_file():
            to.send_error(404)
            return
        size = file.stat().st_size
        begin, end = 0, size - 1
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", asked):
            begin = int(found[1])
            end = min(int(found[2] or end), end)
            to.send_response(206)
            to.send_header("Content-Range", f"bytes {begin}-{end}/{size}")
        else:
            to.send_response(200)
        to.send_header("Accept-Ranges", "bytes")
        to.send_header("ETag", f'"{file.stat().st_mtime_ns}"')
        to.send_header("Content-Length", str(end + 1 - begin))
        to.end_headers()
        if body:
            self._pour(to, file, begin, end)

    def _pour(
        self, to: http.server.BaseHTTPRequestHandler, file: Path, begin: int, end: int
    ) -> None:
        breaks_at, self.breaks_at = self.breaks_at, None
        with file.open("rb") as opened, contextlib.suppress(OSError):
            opened.seek(begin)
            while begin <= end:
                piece = opened.read(min(PIECE, end + 1 - begin))
                if breaks_at is not None and begin + len(piece) > breaks_at:
                    to.close_connection = True
                    return
                to.wfile.write(piece)
                begin += len(piece)


class Outside:
    """A real mosquitto, a centre that hears, keeps and acknowledges, and the shelf."""

    def __init__(self, folder: Path) -> None:
        for name in ("broker", "shelf"):
            (folder / name).mkdir(parents=True)
        self._changed = threading.Condition()
        self._heard: list[ReceivedMessage] = []
        self.broker = Mosquitto(folder / "broker")
        self.shelf = Shelf(folder / "shelf")
        self._store = CentreStore.open(folder / "centre.db")
        watch = CentreClient(
            BrokerConfig(url=self.broker.url),
            self._hear,
            random.Random(7),
            CLOCK.boottime_ns,
            store=self._store,
        )
        self._thread = StageThread(watch, CLOCK.boottime_ns, random.Random(7), vital=False)
        self._thread.start()
        assert watch.online.wait(60)

    @property
    def doors(self) -> dict[str, int]:
        """The ways out of a guest's network."""
        return {BROKER_AT: self.broker.port, SHELF_AT: self.shelf.port}

    def hear(
        self, found: Callable[[ReceivedMessage], bool], what: str, within_s: float
    ) -> ReceivedMessage:
        """The first such message, now or later."""
        with self._changed:
            came = self._changed.wait_for(lambda: any(map(found, self._heard)), within_s)
            assert came, f"no {what} within {within_s:g} s"
            return next(item for item in self._heard if found(item))

    def close(self) -> None:
        """All gone."""
        self.shelf.close()
        self._thread.stop()
        assert self._thread.join(60)
        self._store.close()
        self.broker.end(signal.SIGKILL)

    def _hear(self, item: ReceivedMessage) -> None:
        with self._changed:
            self._heard.append(item)
            self._changed.notify_all()


@contextlib.contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    """While this is entered."""
    made = Outside(folder)
    try:
        yield made
    finally:
        made.close()


def is_healthy_report(item: ReceivedMessage, boot: str) -> bool:
    """A report of health of this boot, with a camera that is open."""
    if not isinstance(item.message, HealthMessage) or item.envelope is None:
        return False
    return item.envelope.boot == boot and any(one.open for one in item.message.data.cameras)
