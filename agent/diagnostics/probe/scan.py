"""Searches of `vigie probe`: the drivers that each kind of device is searched with."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path

import msgspec

from agent.detection import accelerator_card
from agent.diagnostics.probe.results import (
    FoundAccelerators,
    FoundModel,
    FoundOnvif,
    FoundPins,
    ProbeProblem,
    ProbeResult,
    ProbeSection,
    problem_from,
)
from drivers import head_search, rtsp_search
from drivers.accelerators import Accelerator, find_accelerators
from drivers.csi import camera_modules
from drivers.errors import DriverError
from drivers.gpio_chips import find_chips, open_factory
from drivers.onvif import discovery
from drivers.onvif.client import OnvifClient
from drivers.onvif.credentials import OnvifAccess
from drivers.serial_ports import FoundPort, find_ports
from drivers.v4l2_devices import find_devices

BOARD_MODEL_FILE = Path("/proc/device-tree/model")
DEV_DIR = Path("/dev")
MAX_PARALLEL_PORTS = 8
MAX_PARALLEL_CAMERAS = 8

OnProgress = Callable[[str], None]
"""Called with a line of progress for the terminal."""


class NetworkProbeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Network cameras to search. `urls` are asked in any case.

    With `discover` cameras are searched by multicast, on `interfaces` or on all. `username` and
    `password_file` are used for all cameras.
    """

    discover: bool = False
    interfaces: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    username: str | None = None
    password_file: str | None = None
    discover_timeout_s: float = 3.0
    timeout_s: float = 2.0


class ProbeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Searches in addition to those that always run.

    `ports` are the serial ports to search for heads; if empty, all that the kernel does not use.
    """

    heads: head_search.SearchOptions | None = None
    ports: tuple[str, ...] = ()
    network: NetworkProbeRequest | None = None
    subnet: IPv4Network | None = None
    rtsp_ports: tuple[int, ...] = rtsp_search.PORTS


def probe(request: ProbeRequest, on_progress: OnProgress) -> ProbeResult:
    """Run all requested searches."""
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
        accelerators=find_models(find_accelerators()),
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


def find_models(found: tuple[Accelerator, ...]) -> FoundAccelerators:
    """Return the accelerators with the models of their kinds that are installed."""
    kinds = {accelerator.kind for accelerator in found}
    models = []
    for card in map(accelerator_card.load_card, accelerator_card.list_card_names()):
        if card.accelerator in kinds:
            with contextlib.suppress(OSError):
                digest = accelerator_card.read_digest(Path(card.file))
                models.append(
                    FoundModel(
                        model=card.name, kind=card.accelerator, file=card.file, sha256=digest
                    )
                )
    return FoundAccelerators(found=found, models=tuple(models))


def read_board_model(model_file: Path = BOARD_MODEL_FILE) -> str | None:
    """Return the board's model from the device tree, or None if there is none."""
    with contextlib.suppress(OSError):
        return model_file.read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    return None


def searchable_ports(ports: Sequence[FoundPort]) -> tuple[str, ...]:
    """Return the ports to search: without the kernel's own, and without those that lack hardware."""
    return tuple(
        port.best_path
        for port in ports
        if not port.is_kernel_console and port.state not in ("absent", "unsupported")
    )


def access_problem(
    paths: Iterable[Path], can_access: Callable[[Path, int], bool] = os.access
) -> ProbeProblem | None:
    """Return a problem if this user may not open these devices, which libcamera does not report."""
    inaccessible = [str(path) for path in sorted(paths) if not can_access(path, os.R_OK | os.W_OK)]
    if not inaccessible:
        return None
    message = f"{', '.join(inaccessible)}: denied to this user; allowed: members of the group video"
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
    """Search all ports in parallel: they are independent."""
    stop = threading.Event()
    with ThreadPoolExecutor(MAX_PARALLEL_PORTS, "head search") as pool:
        try:
            searches = pool.map(
                lambda line: head_search.search_port(line, wanted, stop), port_paths
            )
            return ProbeSection(found=tuple(searches))
        finally:
            # An interrupted command does not wait for the timeout of every address.
            stop.set()


def _find_onvif_cameras(request: NetworkProbeRequest) -> ProbeSection[FoundOnvif]:
    """Query each camera that answers the multicast, and each named one, for its description."""
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
            return msgspec.structs.replace(camera, adopted=client.read_camera_info())
        finally:
            client.close()
    except DriverError as error:
        message = str(error).removeprefix(f"camera: {camera.url}: ")
        return msgspec.structs.replace(
            camera, problem=ProbeProblem(kind=error.kind, message=message)
        )
