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
    ProbeProblem,
    ProbeResult,
    ProbeSection,
    problem_from,
)
from drivers import head_search, rtsp_search
from drivers.csi import camera_modules
from drivers.errors import DriverError
from drivers.gpio_chips import find_chips, open_factory
from drivers.onvif import discovery
from drivers.onvif.camera_info import read_camera_info
from drivers.onvif.client import OnvifClient
from drivers.onvif.credentials import OnvifAccess
from drivers.serial_ports import FoundPort, find_ports
from drivers.v4l2_devices import find_devices

BOARD_MODEL_FILE = Path("/proc/device-tree/model")
DEV_DIR = Path("/dev")
MAX_PARALLEL_PORTS = 8
MAX_PARALLEL_CAMERAS = 8

OnProgress = Callable[[str], None]
"""Takes what is being done now, for a person who waits."""


class NetworkProbeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which network cameras are asked. With `discover` they are called by multicast, on
    `adapters` or on all; `urls` are asked in any case. `username` and `password_file` are for
    all of them.
    """

    discover: bool = False
    interfaces: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    username: str | None = None
    password_file: str | None = None
    discover_timeout_s: float = 3.0
    timeout_s: float = 2.0


class ProbeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked beside that which is always asked. `lines` are the serial lines to search; all
    ports of the box that the kernel does not use where there are none.
    """

    heads: head_search.SearchOptions | None = None
    ports: tuple[str, ...] = ()
    network: NetworkProbeRequest | None = None
    subnet: IPv4Network | None = None
    rtsp_ports: tuple[int, ...] = rtsp_search.PORTS


def probe(request: ProbeRequest, on_progress: OnProgress) -> ProbeResult:
    """Ask for everything that is wished."""
    on_progress("asking libcamera")
    modules = _find_camera_modules()
    on_progress("asking devices")
    ports = find_ports()
    result = ProbeResult(
        board=read_board_model(),
        camera_modules=modules,
        video_devices=ProbeSection(found=find_devices()),
        serial_ports=ProbeSection(found=ports),
        pins=_find_pins(),
    )
    if request.heads is not None:
        port_paths = request.ports or searchable_ports(ports)
        on_progress(f"asking {len(port_paths)} serial lines for heads")
        result = msgspec.structs.replace(result, heads=_search_heads(port_paths, request.heads))
    if request.network is not None:
        on_progress("asking the network for cameras")
        result = msgspec.structs.replace(result, onvif=_find_onvif_cameras(request.network))
    if request.subnet is not None:
        on_progress(f"asking {request.subnet} for RTSP")
        try:
            found = rtsp_search.search_subnet(request.subnet, request.rtsp_ports)
            rtsp: ProbeSection[rtsp_search.FoundRtspServer] = ProbeSection(found=found)
        except DriverError as error:
            rtsp = ProbeSection(problem=problem_from(error))
        result = msgspec.structs.replace(result, rtsp=rtsp)
    return result


def read_board_model(model_file: Path = BOARD_MODEL_FILE) -> str | None:
    """What the board calls itself; None where it is none."""
    with contextlib.suppress(OSError):
        return model_file.read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    return None


def searchable_ports(ports: Sequence[FoundPort]) -> tuple[str, ...]:
    """The ports that are worth asking: not the kernel's own, and none without hardware."""
    return tuple(
        port.best_path
        for port in ports
        if not port.console and port.state not in ("absent", "unsupported")
    )


def access_problem(
    paths: Iterable[Path], can_access: Callable[[Path, int], bool] = os.access
) -> ProbeProblem | None:
    """Whether this user is kept from what libcamera needs: it then sees nothing, and says nothing."""
    inaccessible = [str(path) for path in sorted(paths) if not can_access(path, os.R_OK | os.W_OK)]
    if not inaccessible:
        return None
    message = (
        f"{', '.join(inaccessible)}: denied to this user; members of the group video may open it"
    )
    return ProbeProblem(kind="denied", message=message)


def _find_camera_modules() -> ProbeSection[camera_modules.CameraModule]:
    try:
        found = camera_modules.enumerate_modules()
    except DriverError as error:
        return ProbeSection(problem=problem_from(error))
    return ProbeSection(
        found=found, problem=None if found else access_problem(DEV_DIR.glob("media[0-9]*"))
    )


def _find_pins() -> FoundPins:
    chips = find_chips()
    try:
        return FoundPins(chips=chips, factory=open_factory())
    except DriverError as error:
        kind = "denied" if any(chip.state == "denied" for chip in chips) else error.kind
        return FoundPins(chips=chips, problem=ProbeProblem(kind=kind, message=str(error)))


def _search_heads(
    port_paths: Sequence[str], wanted: head_search.SearchOptions
) -> ProbeSection[head_search.PortSearch]:
    """Lines do not know each other, so they are asked at the same time."""
    stop = threading.Event()
    with ThreadPoolExecutor(MAX_PARALLEL_PORTS, "head search") as pool:
        try:
            searches = pool.map(
                lambda line: head_search.search_port(line, wanted, stop), port_paths
            )
            return ProbeSection(found=tuple(searches))
        finally:
            # Who interrupts the command does not wait for every address to be silent.
            stop.set()


def _find_onvif_cameras(request: NetworkProbeRequest) -> ProbeSection[FoundOnvif]:
    """Whoever answers, and whoever is named, each asked what it is."""
    cameras = {url: FoundOnvif(url=url) for url in request.urls}
    problem = None
    if request.discover:
        for interface in request.interfaces or (None,):
            try:
                found = discovery.discover(request.discover_timeout_s, interface)
            except DriverError as error:
                problem = problem_from(error)
                continue
            for device in found:
                cameras[device.url] = FoundOnvif(
                    url=device.url, name=device.name, hardware=device.hardware, id=device.id
                )
    with ThreadPoolExecutor(MAX_PARALLEL_CAMERAS, "adoption") as pool:
        adopted = tuple(pool.map(lambda camera: _adopt(camera, request), cameras.values()))
    return ProbeSection(found=adopted, problem=problem)


def _adopt(camera: FoundOnvif, request: NetworkProbeRequest) -> FoundOnvif:
    try:
        access = OnvifAccess(
            url=camera.url,
            username=request.username,
            password_file=request.password_file,
            timeout_s=request.timeout_s,
        )
        client = OnvifClient("camera", access)
        try:
            return msgspec.structs.replace(camera, adopted=read_camera_info(client))
        finally:
            client.close()
    except DriverError as error:
        message = str(error).removeprefix(f"camera: {camera.url}: ")
        return msgspec.structs.replace(
            camera, problem=ProbeProblem(kind=error.kind, message=message)
        )
