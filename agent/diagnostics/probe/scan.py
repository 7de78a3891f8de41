"""The wiring of `vigie probe`: which drivers are asked for what."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path

import msgspec

from agent.diagnostics.probe.results import (
    FoundOnvif,
    FoundPins,
    ProbeResult,
    Problem,
    Section,
    problem_of,
)
from drivers import head_search, rtsp_search
from drivers.csi import camera_modules
from drivers.errors import DriverError
from drivers.gpio_chips import find_chips, open_factory
from drivers.onvif import discovery
from drivers.onvif.camera_info import adopt
from drivers.onvif.client import OnvifClient
from drivers.onvif.credentials import Access
from drivers.serial_ports import FoundPort, find_ports
from drivers.v4l2_devices import find_devices

BOARD = Path("/proc/device-tree/model")
DEV = Path("/dev")
LINES_AT_ONCE = 8
CAMERAS_AT_ONCE = 8

Tell = Callable[[str], None]
"""Takes what is being done now, for a person who waits."""


class NetworkProbeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which network cameras are asked. With `discover` they are called by multicast, on
    `adapters` or on all; `urls` are asked in any case. `username` and `password_file` are for
    all of them.
    """

    discover: bool = False
    adapters: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    username: str | None = None
    password_file: str | None = None
    discover_s: float = 3.0
    timeout_s: float = 2.0


class ProbeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked beside that which is always asked. `lines` are the serial lines to search; all
    ports of the box that the kernel does not use where there are none.
    """

    heads: head_search.Wanted | None = None
    lines: tuple[str, ...] = ()
    network: NetworkProbeRequest | None = None
    subnet: IPv4Network | None = None
    rtsp_ports: tuple[int, ...] = rtsp_search.PORTS


def probe(wish: ProbeRequest, tell: Tell) -> ProbeResult:
    """Ask for everything that is wished."""
    tell("asking libcamera")
    modules = _modules()
    tell("asking devices")
    ports = find_ports()
    probed = ProbeResult(
        board=board(),
        modules=modules,
        devices=Section(found=find_devices()),
        ports=Section(found=ports),
        pins=_pins(),
    )
    if wish.heads is not None:
        lines = wish.lines or lines_of(ports)
        tell(f"asking {len(lines)} serial lines for heads")
        probed = msgspec.structs.replace(probed, heads=_heads(lines, wish.heads))
    if wish.network is not None:
        tell("asking the network for cameras")
        probed = msgspec.structs.replace(probed, onvif=_onvif(wish.network))
    if wish.subnet is not None:
        tell(f"asking {wish.subnet} for RTSP")
        try:
            found = rtsp_search.search_subnet(wish.subnet, wish.rtsp_ports)
            rtsp: Section[rtsp_search.FoundRtsp] = Section(found=found)
        except DriverError as error:
            rtsp = Section(problem=problem_of(error))
        probed = msgspec.structs.replace(probed, rtsp=rtsp)
    return probed


def board(model: Path = BOARD) -> str | None:
    """What the board calls itself; None where it is none."""
    with contextlib.suppress(OSError):
        return model.read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    return None


def lines_of(ports: Sequence[FoundPort]) -> tuple[str, ...]:
    """The ports that are worth asking: not the kernel's own, and none without hardware."""
    return tuple(
        port.best_path
        for port in ports
        if not port.console and port.state not in ("absent", "unsupported")
    )


def denied(paths: Iterable[Path], may: Callable[[Path, int], bool] = os.access) -> Problem | None:
    """Whether this user is kept from what libcamera needs: it then sees nothing, and says nothing."""
    closed = [str(path) for path in sorted(paths) if not may(path, os.R_OK | os.W_OK)]
    if not closed:
        return None
    said = f"{', '.join(closed)}: denied to this user; members of the group video may open it"
    return Problem(kind="denied", said=said)


def _modules() -> Section[camera_modules.CameraModule]:
    try:
        found = camera_modules.find_modules()
    except DriverError as error:
        return Section(problem=problem_of(error))
    return Section(found=found, problem=None if found else denied(DEV.glob("media[0-9]*")))


def _pins() -> FoundPins:
    chips = find_chips()
    try:
        return FoundPins(chips=chips, factory=open_factory())
    except DriverError as error:
        kind = "denied" if any(chip.state == "denied" for chip in chips) else error.kind
        return FoundPins(chips=chips, problem=Problem(kind=kind, said=str(error)))


def _heads(lines: Sequence[str], wanted: head_search.Wanted) -> Section[head_search.PortSearch]:
    """Lines do not know each other, so they are asked at the same time."""
    stop = threading.Event()
    with ThreadPoolExecutor(LINES_AT_ONCE, "head search") as pool:
        try:
            asked = pool.map(lambda line: head_search.search_port(line, wanted, stop), lines)
            return Section(found=tuple(asked))
        finally:
            # Who interrupts the command does not wait for every address to be silent.
            stop.set()


def _onvif(wish: NetworkProbeRequest) -> Section[FoundOnvif]:
    """Whoever answers, and whoever is named, each asked what it is."""
    known = {url: FoundOnvif(url=url) for url in wish.urls}
    problem = None
    if wish.discover:
        for interface in wish.adapters or (None,):
            try:
                found = discovery.discover(wish.discover_s, interface)
            except DriverError as error:
                problem = problem_of(error)
                continue
            for one in found:
                known[one.url] = FoundOnvif(
                    url=one.url, name=one.name, hardware=one.hardware, id=one.id
                )
    with ThreadPoolExecutor(CAMERAS_AT_ONCE, "adoption") as pool:
        asked = tuple(pool.map(lambda camera: _adopted(camera, wish), known.values()))
    return Section(found=asked, problem=problem)


def _adopted(camera: FoundOnvif, wish: NetworkProbeRequest) -> FoundOnvif:
    try:
        access = Access(
            url=camera.url,
            username=wish.username,
            password_file=wish.password_file,
            timeout_s=wish.timeout_s,
        )
        client = OnvifClient("camera", access)
        try:
            return msgspec.structs.replace(camera, adopted=adopt(client))
        finally:
            client.close()
    except DriverError as error:
        said = str(error).removeprefix(f"camera: {camera.url}: ")
        return msgspec.structs.replace(camera, problem=Problem(kind=error.kind, said=said))
