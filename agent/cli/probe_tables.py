"""Results of `vigie probe` as tables."""

from collections.abc import Sequence
from http import HTTPStatus

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.diagnostics.probe.results import (
    FoundAccelerators,
    FoundOnvif,
    FoundPins,
    ProbeProblem,
    ProbeResult,
    ProbeSection,
)
from drivers.csi.camera_modules import CameraModule
from drivers.head_search import FoundHead, PortSearch
from drivers.rtsp_search import FoundRtspServer
from drivers.serial_ports import FoundPort
from drivers.v4l2_devices import VideoDevice

Rows = Sequence[Sequence[str]]


def print_results(result: ProbeResult, console: Console) -> None:
    """Print all results, and the queries that were not requested."""
    if result.board is not None:
        _print_text(console, f"board: {result.board}")
    _print_modules(result.camera_modules, console)
    _print_devices(result.video_devices, console)
    _print_ports(result.serial_ports, console)
    _print_pins(result.pins, console)
    _print_accelerators(result.accelerators, console)
    if result.heads is not None:
        _print_heads(result.heads, console)
    if result.onvif is not None:
        _print_onvif(result.onvif, console)
    if result.rtsp is not None:
        _print_rtsp(result.rtsp, console)
    skipped = {
        "--heads": result.heads is None,
        "--network": result.onvif is None,
        "--subnet A.B.C.D/N": result.rtsp is None,
    }
    skipped_options = ", ".join(option for option, is_skipped in skipped.items() if is_skipped)
    if skipped_options:
        _print_text(console, f"not queried: {skipped_options}; as configuration: --toml")


def _print_modules(section: ProbeSection[CameraModule], console: Console) -> None:
    rows = [
        (
            str(module.number),
            module.model,
            module.id,
            "" if module.rotation_deg is None else f"{module.rotation_deg}°",
            "v4l2" if module.is_usb else "csi",
        )
        for module in section.found
    ]
    headings = ("number", "model", "id", "rotation", "driver")
    _print_table(console, "camera modules", headings, rows, section.problem)


def _print_devices(section: ProbeSection[VideoDevice], console: Console) -> None:
    listed = [device for device in section.found if device.is_capture or device.state != "free"]
    rows = [
        (
            device.path,
            device.name or "",
            " ".join((*device.formats, *device.other_formats)),
            _format_state(device.state, device.reason),
        )
        for device in listed
    ]
    _print_table(
        console, "video devices", ("device", "name", "formats", "state"), rows, section.problem
    )
    for device in listed:
        _print_stable_name(console, device.path, device.best_path)
    other_drivers = {
        device.kernel_driver or "unknown" for device in section.found if device not in listed
    }
    if other_drivers:
        count = len(section.found) - len(listed)
        _print_text(console, f"and {count} other devices: {', '.join(sorted(other_drivers))}")


def _print_ports(section: ProbeSection[FoundPort], console: Console) -> None:
    rows = [
        (
            port.path,
            " ".join(filter(None, (port.description, port.usb_id, port.serial_number))),
            "the kernel's console"
            if port.is_kernel_console
            else _format_state(port.state, port.reason),
        )
        for port in section.found
    ]
    _print_table(console, "serial ports", ("port", "adapter", "state"), rows, section.problem)
    for port in section.found:
        _print_stable_name(console, port.path, port.best_path)


def _print_pins(pins: FoundPins, console: Console) -> None:
    rows = [
        (
            chip.path,
            chip.label or "",
            "" if chip.lines is None else str(chip.lines),
            _format_state(chip.state),
        )
        for chip in pins.chips
    ]
    _print_table(console, "pins", ("chip", "name", "lines", "state"), rows, pins.problem)
    if pins.factory is not None:
        board = f"{pins.factory.board}, " if pins.factory.board else ""
        _print_text(console, f"{board}reached through {pins.factory.name}")


def _print_accelerators(accelerators: FoundAccelerators, console: Console) -> None:
    rows = [
        (one.name, one.place, one.device or "", _format_state(one.state))
        for one in accelerators.found
    ]
    _print_table(console, "accelerators", ("accelerator", "place", "device", "state"), rows, None)
    for model in accelerators.models:
        _print_text(console, f"model {model.model}: {model.file}, sha256 {model.sha256}")
    for kind in sorted({one.kind for one in accelerators.found}):
        if not any(model.kind == kind for model in accelerators.models):
            _print_text(console, f"{kind}: no model is installed, see docs/accelerators.md")


def _print_heads(section: ProbeSection[PortSearch], console: Console) -> None:
    for line in section.found:
        if line.heads:
            rows = [
                (
                    head.answer.driver,
                    str(head.answer.address),
                    "" if head.baud is None else str(head.baud),
                    _describe_head(head),
                )
                for head in line.heads
            ]
            headings = ("driver", "address", "baud", "answer")
            _print_table(console, f"heads on {line.port}", headings, rows, None)
    if not any(line.heads for line in section.found):
        _print_text(console, "heads: nothing found")
    for line in section.found:
        if line.state != "free":
            _print_text(console, f"{line.port}: {_format_state(line.state, line.reason)}")
        elif line.unknown_traffic:
            _print_text(
                console, f"{line.port}: an answer in another protocol or at another baud rate"
            )
            for traffic in line.unknown_traffic:
                speed = "" if traffic.baud is None else f"at {traffic.baud} baud "
                _print_text(
                    console, f"  {speed}{traffic.received_bytes} bytes: {traffic.first_bytes_hex}"
                )
        elif not line.heads:
            _print_text(console, f"{line.port}: no answer")
    if not section.found:
        _print_text(console, "no serial line to query")
    _print_text(
        console,
        "Pelco-P: no query that its makers agree on, so its heads cannot be found",
    )


def _describe_head(head: FoundHead) -> str:
    answer = head.answer
    parts = []
    if answer.vendor_id is not None and answer.model_id is not None:
        parts.append(f"vendor {answer.vendor_id:04x} model {answer.model_id:04x}")
    if not answer.reports_position:
        parts.append("no position")
    elif answer.driver == "pelco_d":
        pan_deg, tilt_deg = (answer.pan_counts or 0) / 100, (answer.tilt_counts or 0) / 100
        parts.append(f"pan {pan_deg:.2f}° tilt {tilt_deg:.2f}° by its own count")
    else:
        parts.append(f"pan {answer.pan_counts} tilt {answer.tilt_counts} in its own steps")
    return ", ".join(parts)


def _print_onvif(section: ProbeSection[FoundOnvif], console: Console) -> None:
    rows = []
    for camera in section.found:
        adopted = camera.adopted
        if adopted is None:
            problem_text = camera.problem.message if camera.problem else ""
            rows.append((camera.url, camera.name or "", camera.hardware or "", problem_text))
            continue
        streams = [
            f"{profile.codec} {profile.width_px}x{profile.height_px}"
            for profile in (adopted.record, adopted.detect)
            if profile is not None
        ]
        features = [
            *streams,
            "head" if adopted.has_ptz else "",
            "events" if adopted.has_events else "",
        ]
        model = f"{adopted.maker} {adopted.model}"
        rows.append((camera.url, adopted.name, model, ", ".join(part for part in features if part)))
    headings = ("address", "name", "model", "has")
    _print_table(console, "ONVIF cameras", headings, rows, section.problem)


def _print_rtsp(section: ProbeSection[FoundRtspServer], console: Console) -> None:
    rows = [
        (
            server.url,
            server.server or "",
            "password required" if server.status == HTTPStatus.UNAUTHORIZED else str(server.status),
        )
        for server in section.found
        if server.status is not None
    ]
    _print_table(console, "RTSP servers", ("address", "server", "answer"), rows, section.problem)
    for server in section.found:
        if server.status is None:
            _print_text(console, f"{server.host}:{server.port}: open, but not RTSP")


def _print_table(
    console: Console, title: str, headings: Sequence[str], rows: Rows, problem: ProbeProblem | None
) -> None:
    """Print a table, or that nothing was found, and the problem if there is one."""
    if rows:
        table = Table(title=Text(title, style="table.title"), title_justify="left")
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
    elif problem is None:
        _print_text(console, f"{title}: nothing found")
    if problem is not None:
        message = problem.message.removeprefix(f"{title}: ")
        _print_text(console, f"{title}: {problem.kind}: {message}")


def _print_stable_name(console: Console, path: str, name: str) -> None:
    """Print the stable link name on its own line, because it is long and is copied."""
    if name != path:
        _print_text(console, f"{path}, stable name: {name}")


def _format_state(state: str, reason: str | None = None) -> str:
    return f"{state}: {reason}" if reason else state


def _print_text(console: Console, text: str) -> None:
    """Print text without markup or emoji codes: a device's name may contain both."""
    console.print(Text(text), soft_wrap=True)
