"""The page at the pole without systemd: its socket and unit, the console's switch, and phones."""

import hashlib
import http.client
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent.base.clock import SystemClock
from agent.console import page_wire
from agent.console.page_switch import PageSwitch
from agent.faults.texts import Language
from tests.free_port import free_port

TIMEOUT_S = 60.0
START_UNIT = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.execv(sys.executable, (sys.executable, "-P", "-m", "agent.pole_page.page_service", *sys.argv[2:]))
"""
"""As systemd does, the socket is descriptor 3 of the service."""


def without_isolates(text: str) -> str:
    """Return a text without the characters around values that keep their direction."""
    return "".join(char for char in text if char not in "\u2068\u2069")


def listening_ports() -> set[int]:
    """TCP ports that any process of this machine listens on, proc_net_tcp.rst."""
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}


def make_root(root: Path) -> Path:
    """Make a root of a system with the page's folder, and with this machine's /proc, /sys and /usr."""
    (root / page_wire.ACTS_DIR).mkdir(parents=True)
    (root / "tls").mkdir(mode=0o700)
    for name in ("proc", "sys", "usr"):
        if not (root / name).exists():
            (root / name).symlink_to(f"/{name}")
    return root


class PageUnit:
    """vigie-page.socket and vigie-page.service: a connection starts the service, which gets the socket."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(root / page_wire.SOCKET))
        self._listener.listen()
        self._stop_read, self._stop_write = os.pipe()
        self.process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select((self._listener.fileno(), self._stop_read), (), ())
            if self._stop_read in ready:
                return
            fd = self._listener.fileno()
            with subprocess.Popen(
                [
                    *(sys.executable, "-c", START_UNIT, str(fd), "--root", str(self._root)),
                    *("--runtime-dir", str(self._root / "tls")),
                ],
                pass_fds=(fd,),
            ) as self.process:
                pass

    def close(self) -> None:
        os.write(self._stop_write, b"x")
        if self.process is not None:
            self.process.terminate()
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()
        self._listener.close()
        for fd in (self._stop_read, self._stop_write):
            os.close(fd)


class HttpReply(msgspec.Struct, frozen=True):
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The code of an error."""
        return str(msgspec.json.decode(self.body)["error"]["code"])


class Phone:
    """A browser without a screen, which trusts one certificate."""

    def __init__(self, port: int, fingerprint: str = "", host: str = "127.0.0.1") -> None:
        self.host, self.port, self.fingerprint = host, port, fingerprint
        self.authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.cookie = ""
        self.timeout_s = TIMEOUT_S

    def connect(self) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = context.wrap_socket(
            socket.create_connection((self.host, self.port), timeout=self.timeout_s)
        )
        der = connection.getpeercert(binary_form=True)
        assert der is not None
        if self.fingerprint:
            assert hashlib.sha256(der).hexdigest() == self.fingerprint
        return connection

    def request(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> HttpReply:
        """Send a request as the page does; a header that is None is left out."""
        sent: dict[str, str | None] = {"Host": self.authority, "Cookie": self.cookie or None}
        if method not in ("GET", "HEAD"):
            sent |= {"Origin": f"https://{self.authority}", "Content-Type": "application/json"}
        sent |= headers or {}
        connection = http.client.HTTPConnection(self.host, self.port)
        connection.sock = self.connect()
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            if isinstance(body, bytes) and "Content-Length" not in sent:
                connection.putheader("Content-Length", str(len(body)))
            # A body that is refused by its length is answered while it is still being sent.
            with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                connection.endheaders(body)
            reply = connection.getresponse()
            return HttpReply(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            connection.close()

    def act(self, name: str, args: Mapping[str, object] | None = None) -> HttpReply:
        return self.request("POST", f"/api/acts/{name}", msgspec.json.encode(args or {}))

    def upload(self, name: str, data: bytes, args: Mapping[str, object] | None = None) -> HttpReply:
        query = urllib.parse.urlencode({"args": msgspec.json.encode(args or {}).decode()})
        headers = {"Content-Type": "application/octet-stream"}
        return self.request("POST", f"/api/uploads/{name}?{query}", data, headers)

    def upload_file(self, name: str, path: Path) -> HttpReply:
        """Upload a file that is too large for the memory."""
        headers = {"Content-Type": "application/octet-stream"}
        headers["Content-Length"] = str(path.stat().st_size)
        with path.open("rb") as file:
            return self.request("POST", f"/api/uploads/{name}", file, headers)

    def log_in(self, token: str) -> HttpReply:
        reply = self.request("POST", "/api/session", msgspec.json.encode({"link": token}))
        if reply.status == 204:
            self.cookie = reply.headers["set-cookie"].partition(";")[0]
        return reply


class PolePageBox:
    """A box whose page a technician turns on and off. `folder` has its vigie.toml, `root` its system."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.receipts: list[str] = []
        self.unit = PageUnit(root)
        self.port = free_port()
        self._folder, self._root = folder, root
        self.switch = self.new_console()

    def new_console(self) -> PageSwitch:
        """Return the switch of a console."""
        config = self._folder / "vigie.toml"
        return PageSwitch(self._root, config, SystemClock().boottime_ns, self.receipts.append)

    def turn_on(self, language: Language = "en") -> str:
        """Turn it on, and return the token of the first link."""
        return self.switch.turn_on(
            self.port,
            box_id="casa-0001",
            addresses=("127.0.0.1", "::1"),
            technician="amina",
            language=language,
        )

    @property
    def origin(self) -> str:
        return f"https://127.0.0.1:{self.port}/"

    def link(self) -> str:
        """Return a new link, as it is in the QR code."""
        return f"{self.origin}#{self.switch.new_link()}"

    def phone(self, host: str = "127.0.0.1") -> Phone:
        return Phone(self.port, self.switch.fingerprint, host)

    def logged_in_phone(self) -> Phone:
        phone = self.phone()
        assert phone.log_in(self.switch.new_link()).status == 204
        return phone

    def close(self) -> None:
        self.switch.turn_off()
        self.unit.close()
