"""What `vigie probe` found, as tables for a person."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.diagnostics.probe.results import FoundOnvif, FoundPins, ProbeResult, Problem, Section
from drivers.csi.camera_modules import CameraModule
from drivers.head_search import FoundHead, PortSearch
from drivers.rtsp_search import FoundRtsp
from drivers.serial_ports import FoundPort
from drivers.v4l2_devices import VideoDevice

Rows = Sequence[Sequence[str]]


def show(probed: ProbeResult, console: Console) -> None:
    """Print all that was asked for, and what could be asked beside."""
    if probed.board is not None:
        _say(console, f"board: {probed.board}")
    _modules(probed.modules, console)
    _devices(probed.devices, console)
    _ports(probed.ports, console)
    _pins(probed.pins, console)
    if probed.heads is not None:
        _heads(probed.heads, console)
    if probed.onvif is not None:
        _onvif(probed.onvif, console)
    if probed.rtsp is not None:
        _rtsp(probed.rtsp, console)
    more = {
        "--heads": probed.heads is None,
        "--network": probed.onvif is None,
        "--subnet A.B.C.D/N": probed.rtsp is None,
    }
    left = ", ".join(option for option, unasked in more.items() if unasked)
    if left:
        _say(console, f"not asked: {left}; as configuration: --toml")


def _modules(section: Section[CameraModule], console: Console) -> None:
    rows = [
        (
            str(one.number),
            one.model,
            one.id,
            "" if one.rotation_deg is None else f"{one.rotation_deg}°",
            "v4l2" if one.usb else "csi",
        )
        for one in section.found
    ]
    headings = ("number", "model", "id", "rotation", "driver")
    _table(console, "camera modules", headings, rows, section.problem)


def _devices(section: Section[VideoDevice], console: Console) -> None:
    shown = [one for one in section.found if one.camera or one.state != "free"]
    rows = [
        (one.path, one.name or "", " ".join((*one.formats, *one.others)), _how(one.state, one.why))
        for one in shown
    ]
    _table(console, "video devices", ("device", "name", "gives", "state"), rows, section.problem)
    for one in shown:
        _stays(console, one.path, one.best_path)
    others = {one.kernel_driver or "unknown" for one in section.found if one not in shown}
    if others:
        count = len(section.found) - len(shown)
        _say(console, f"and {count} that are no cameras: {', '.join(sorted(others))}")


def _ports(section: Section[FoundPort], console: Console) -> None:
    rows = [
        (
            one.path,
            " ".join(filter(None, (one.description, one.usb, one.serial_number))),
            "the kernel's console" if one.console else _how(one.state, one.why),
        )
        for one in section.found
    ]
    _table(console, "serial ports", ("port", "adapter", "state"), rows, section.problem)
    for one in section.found:
        _stays(console, one.path, one.best_path)


def _pins(pins: FoundPins, console: Console) -> None:
    rows = [
        (one.path, one.label or "", "" if one.lines is None else str(one.lines), _how(one.state))
        for one in pins.chips
    ]
    _table(console, "pins", ("chip", "name", "lines", "state"), rows, pins.problem)
    if pins.factory is not None:
        board = f"{pins.factory.board}, " if pins.factory.board else ""
        _say(console, f"{board}reached through {pins.factory.name}")


def _heads(section: Section[PortSearch], console: Console) -> None:
    for line in section.found:
        if line.heads:
            rows = [
                (
                    head.answer.driver,
                    str(head.answer.address),
                    "" if head.baud is None else str(head.baud),
                    _tells(head),
                )
                for head in line.heads
            ]
            headings = ("driver", "address", "baud", "says")
            _table(console, f"heads on {line.port}", headings, rows, None)
    if not any(line.heads for line in section.found):
        _say(console, "heads: nothing found")
    for line in section.found:
        if line.state != "free":
            _say(console, f"{line.port}: {_how(line.state, line.why)}")
        elif line.strange:
            _say(
                console, f"{line.port}: something answers, in another protocol or at another speed"
            )
            for one in line.strange:
                at = "" if one.baud is None else f"at {one.baud} baud "
                _say(console, f"  {at}{one.bytes} bytes: {one.hex}")
        elif not line.heads:
            _say(console, f"{line.port}: nobody answers")
    if not section.found:
        _say(console, "no serial line to ask")
    _say(
        console,
        "Pelco-P: its makers agree upon no question, so its heads cannot be found by asking",
    )


def _tells(head: FoundHead) -> str:
    answer = head.answer
    parts = []
    if answer.vendor_id is not None and answer.model_id is not None:
        parts.append(f"vendor {answer.vendor_id:04x} model {answer.model_id:04x}")
    if not answer.tells_place:
        parts.append("not where it is")
    elif answer.driver == "pelco_d":
        pan_deg, tilt_deg = (answer.pan_counts or 0) / 100, (answer.tilt_counts or 0) / 100
        parts.append(f"pan {pan_deg:.2f}° tilt {tilt_deg:.2f}° as it counts")
    else:
        parts.append(f"pan {answer.pan_counts} tilt {answer.tilt_counts} in its own steps")
    return ", ".join(parts)


def _onvif(section: Section[FoundOnvif], console: Console) -> None:
    rows = []
    for one in section.found:
        told = one.adopted
        if told is None:
            what = one.problem.said if one.problem else ""
            rows.append((one.url, one.name or "", one.hardware or "", what))
            continue
        streams = [
            f"{profile.codec} {profile.width_px}x{profile.height_px}"
            for profile in (told.record, told.detect)
            if profile is not None
        ]
        has = [*streams, "head" if told.has_ptz else "", "events" if told.has_events else ""]
        maker = f"{told.maker} {told.model}"
        rows.append((one.url, told.name, maker, ", ".join(part for part in has if part)))
    headings = ("address", "name", "model", "has")
    _table(console, "ONVIF cameras", headings, rows, section.problem)


def _rtsp(section: Section[FoundRtsp], console: Console) -> None:
    rows = [
        (one.url, one.server or "", "wants a password" if one.status == 401 else str(one.status))  # noqa: PLR2004 - unauthorised
        for one in section.found
        if one.status is not None
    ]
    _table(console, "RTSP servers", ("address", "server", "answers"), rows, section.problem)
    for one in section.found:
        if one.status is None:
            _say(console, f"{one.host}:{one.port}: open, and speaks no RTSP")


def _table(
    console: Console, title: str, headings: Sequence[str], rows: Rows, problem: Problem | None
) -> None:
    """A table, or that there is nothing of the kind, and why."""
    if rows:
        table = Table(title=Text(title, style="table.title"), title_justify="left")
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
    elif problem is None:
        _say(console, f"{title}: nothing found")
    if problem is not None:
        said = problem.said.removeprefix(f"{title}: ")
        _say(console, f"{title}: {problem.kind}: {said}")


def _stays(console: Console, path: str, name: str) -> None:
    """A link's name is long, and to be copied: it gets a line of its own."""
    if name != path:
        _say(console, f"{path}, by the name that stays: {name}")


def _how(state: str, why: str | None = None) -> str:
    return f"{state}: {why}" if why else state


def _say(console: Console, text: str) -> None:
    """As it is: what a device says of itself is no markup, and `:cd:` in an address no picture."""
    console.print(Text(text), soft_wrap=True)
