"""What was found, as tables for the configuration. Pure.

What only a person knows stands in a comment that ends in `fill in: ...`: without its `#` and with the
right value it is part of the table. Nothing is guessed, so a snippet that lacks something is refused
by `vigie check-config`, which says what.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from agent.base.model import BOX
from agent.diagnostics.probe.results import FoundOnvif, ProbeResult
from drivers.csi.camera_modules import CameraModule
from drivers.head_search import FoundHead
from drivers.rtsp_search import FoundRtsp
from drivers.v4l2_devices import VideoDevice
from drivers.visca_models import MODEL_NAMES

LONGEST_NAME = 40
PASSWORD_FILE = "/etc/vigie/{name}.password"  # noqa: S105 - a path

_MEASURES = (
    ("pan_deg = { low = -175, high = 175 }", "from where to where it turns; none if without end"),
    ("tilt_deg = { low = -90, high = 20 }", "from where to where it tilts"),
    ("pan_max_deg_s = 40", "its fastest pan, degrees a second"),
    ("tilt_max_deg_s = 20", "its fastest tilt, degrees a second"),
)


_UNITS = (
    ("pan_units_per_deg = 14.4", "by how much its pan position counts in a degree"),
    ("tilt_units_per_deg = 14.4", "by how much its tilt position counts in a degree"),
)
_MORE = "# what else it has: zoom_ratio, focus, presets; the driver's file shows how"


def snippet(
    probed: ProbeResult, username: str | None = None, password_file: str | None = None
) -> str:
    """TOML for all that can be configured; `username` and `password_file` are those that opened the
    cameras of the network.
    """
    names, access = _Names(), _Access(username, password_file)
    adopted = [one for one in (probed.onvif.found if probed.onvif else ()) if one.adopted]
    parts = [*_local_cameras(probed, names)]
    heads: list[str] = []
    for camera in adopted:
        name = names.fresh(camera.adopted.name if camera.adopted else "")
        parts += _network(camera, name, access)
        heads += _onvif_head(camera, name, access)
    parts += _rtsp_cameras(probed, adopted, names)
    for line in probed.heads.found if probed.heads else ():
        heads += [_head(head, names) for head in line.heads]
    parts += [*heads, *_pins(probed)]
    return "\n".join(parts) if parts else "# nothing found that could be configured\n"


class _Access:
    """How the cameras of the network were opened, or how they might be."""

    def __init__(self, username: str | None, password_file: str | None) -> None:
        self._known = (username, password_file)

    def lines(self, name: str) -> Iterator[str]:
        """For the options of this camera."""
        username, password_file = self._known
        if username is not None and password_file is not None:
            yield f"username = {_quoted(username)}"
            yield f"password_file = {_quoted(password_file)}"
            return
        path = PASSWORD_FILE.format(name=name)
        yield _fill_in('username = "vigie"', "if it wants one")
        yield _fill_in(f"password_file = {_quoted(path)}", "a file of mode 0600")


class _Names:
    """Names as the configuration takes them, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def fresh(self, wanted: str) -> str:
        plain = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:LONGEST_NAME] or "camera"
        name, number = plain, 2
        while name in self._taken or name == BOX:
            name, number = f"{plain}-{number}", number + 1
        self._taken.add(name)
        return name


def _local_cameras(probed: ProbeResult, names: _Names) -> Iterator[str]:
    for module in probed.modules.found:
        if not module.usb:
            yield _module(module, names.fresh(f"csi{module.number}"))
    for device in probed.devices.found:
        if device.camera:
            yield _device(device, names.fresh(f"usb-{device.name or 'camera'}"))


def _module(module: CameraModule, name: str) -> str:
    return _table(
        "camera",
        {"name": name, "driver": "csi"},
        _values("[camera.options]", {"camera": module.id}),
        note=f"camera module {module.number}: {module.model}",
    )


def _device(device: VideoDevice, name: str) -> str:
    options: dict[str, object] = {"device": device.best_path}
    if device.formats:
        options["format"] = device.formats[0]
    lines = [*_values("[camera.options]", options)]
    if not device.formats:
        gives = _one_line(", ".join(device.others)) or "nothing"
        lines.append(f"# gives {gives}: no format of the driver")
    top: dict[str, object] = {"name": name, "driver": "v4l2"}
    if device.formats and device.formats[0] not in ("h264", "mjpeg"):
        top["transcode"] = True
    return _table("camera", top, lines, note=f"{device.name} at {device.path}")


def _network(camera: FoundOnvif, name: str, access: _Access) -> Iterator[str]:
    adopted = camera.adopted
    if adopted is None:
        return
    record, opened = adopted.record, [*access.lines(name)]
    lines = [*_values("[camera.options]", {"url": adopted.stream_url}), *opened]
    if adopted.detect_url is not None:
        lines += ["", *_values("[camera.detect_options]", {"url": adopted.detect_url}), *opened]
    if adopted.has_events:
        lines += ["", *_values("[camera.onvif]", {"url": camera.url}), *opened]
        lines += [f"# it can report: {_one_line(topic)}" for topic in adopted.topics]
        lines.append(_fill_in("events = []", "those of its topics that are to become events here"))
    lines += [
        "",
        _fill_in("[camera.institution]", "these three lines where it is another's"),
        _fill_in('owner = "somebody"', "whose camera it is"),
        _fill_in('purpose = "traffic safety"', "what it is for"),
    ]
    note = f"{adopted.maker} {adopted.model}, serial {adopted.serial}, at {camera.url}: "
    note += f"{record.codec} {record.width_px}x{record.height_px}"
    yield _table("camera", {"name": name, "driver": "rtsp"}, lines, note=note)


def _rtsp_cameras(
    probed: ProbeResult, adopted: Sequence[FoundOnvif], names: _Names
) -> Iterator[str]:
    """Servers that are no camera of those that told their streams themselves."""
    known = {urlsplit(one.adopted.stream_url).hostname for one in adopted if one.adopted}
    for server in probed.rtsp.found if probed.rtsp else ():
        if server.status is not None and server.host not in known:
            yield _rtsp(server, names.fresh(f"rtsp-{server.host}"))


def _rtsp(server: FoundRtsp, name: str) -> str:
    lines = [
        "[camera.options]",
        _fill_in(f"url = {_quoted(server.url + 'stream1')}", "the path, out of its manual"),
        *_Access(None, None).lines(name),
    ]
    said = "wants a password" if server.status == 401 else f"answers {server.status}"  # noqa: PLR2004 - unauthorised
    note = f"RTSP at {server.host}:{server.port}, {server.server or 'unknown'}: {said}"
    return _table("camera", {"name": name, "driver": "rtsp"}, lines, note=note)


def _head(head: FoundHead, names: _Names) -> str:
    answer = head.answer
    name = names.fresh(f"{answer.driver.replace('_', '-')}-{answer.address}")
    options: dict[str, object] = {"port": head.port}
    if head.baud is not None:
        options["baud"] = head.baud
    options["address"] = answer.address
    lines = []
    if answer.driver == "visca":
        said = f"{_hex(answer.vendor_id)}, model {_hex(answer.model_id)}"
        note = f"VISCA camera {answer.address}, vendor {said}"
        models = ", ".join(MODEL_NAMES)
        lines = [_fill_in('model = "ptzoptics"', f"one of {models}; or none, and what it is like:")]
        lines += [f"# {text}  # {what}" for text, what in (*_MEASURES, *_UNITS)]
    else:
        note = f"Pelco-D head {answer.address}"
        if answer.tells_place:
            options["position"] = "query"
        lines = [_fill_in(text, what) for text, what in _MEASURES]
        note += ", says where it is" if answer.tells_place else ", does not say where it is"
    return _table(
        "head",
        {"name": name, "driver": answer.driver},
        [*_values("[head.options]", options), *lines, _MORE],
        note=note,
        comments=('# camera = "csi0"  # which camera sits on it, if one does',),
    )


def _onvif_head(camera: FoundOnvif, name: str, access: _Access) -> Iterator[str]:
    if camera.adopted is None or not camera.adopted.has_ptz:
        return
    lines = [
        *_values("[head.options]", {"url": camera.url}),
        *access.lines(name),
        "# where the camera tells shares and not degrees:",
        *(_fill_in(text, what) for text, what in _MEASURES),
    ]
    top: dict[str, object] = {"name": name, "driver": "onvif", "camera": name}
    yield _table("head", top, lines, note=f"the head of camera {name}")


def _pins(probed: ProbeResult) -> Iterator[str]:
    if probed.pins.factory is not None:
        yield _commented(
            f"pins: {probed.pins.factory.board or 'there'}, through {probed.pins.factory.name}; "
            "what hangs on them is yours to say: docs/pins.md"
        )


def _table(
    kind: str,
    top: Mapping[str, object],
    lines: Iterable[str],
    *,
    note: str,
    comments: Sequence[str] = (),
) -> str:
    rows = [_commented(note).rstrip("\n"), *_values(f"[[{kind}]]", top), *comments, "", *lines]
    return "\n".join(rows) + "\n"


def _values(heading: str, values: Mapping[str, object]) -> Iterator[str]:
    yield heading
    for key, value in values.items():
        yield f"{key} = {_quoted(value) if isinstance(value, str) else json.dumps(value)}"


def _fill_in(line: str, what: str) -> str:
    return f"# {line}  # fill in: {what}"


def _commented(text: str) -> str:
    return f"# {_one_line(text)}\n"


def _one_line(text: str) -> str:
    """What a device said of itself may hold anything; a comment ends with its line."""
    return "".join(char if char.isprintable() else " " for char in text)


def _quoted(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for the one character that it leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _hex(number: int | None) -> str:
    return "unknown" if number is None else f"{number:04x}"
