"""Configuration snippet: the devices found by a probe, as TOML tables. Pure.

A value that the technician has to supply is a comment that ends in `fill in: ...`: without its `#` and
with the right value it is part of the table. Nothing is guessed: `vigie check-config` rejects a snippet
that lacks a value, and names it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from agent.base.model import BOX_EVENT_SOURCE
from agent.config.toml_writer import format_value
from agent.diagnostics.probe.results import (
    FoundAccelerators,
    FoundModel,
    FoundOnvif,
    ProbeResult,
)
from drivers.csi.camera_modules import CameraModule
from drivers.head_search import FoundHead
from drivers.rtsp_search import FoundRtspServer
from drivers.v4l2_devices import VideoDevice
from drivers.visca_models import MODEL_NAMES

MAX_NAME_LENGTH = 40
PASSWORD_FILE_TEMPLATE = "/etc/vigie/{name}.password"  # noqa: S105 - a path

_LIMIT_LINES = (
    ("pan_deg = { low = -175, high = 175 }", "from where to where it turns; none if without end"),
    ("tilt_deg = { low = -90, high = 20 }", "from where to where it tilts"),
    ("pan_max_deg_s = 40", "its fastest pan, degrees a second"),
    ("tilt_max_deg_s = 20", "its fastest tilt, degrees a second"),
)


_UNIT_LINES = (
    ("pan_units_per_deg = 14.4", "by how much its pan position counts in a degree"),
    ("tilt_units_per_deg = 14.4", "by how much its tilt position counts in a degree"),
)
_MORE_OPTIONS = "# what else it has: zoom_ratio, focus, presets; the driver's file shows how"


def render_snippet(
    result: ProbeResult, username: str | None = None, password_file: str | None = None
) -> str:
    """Return TOML for all devices that can be configured.

    `username` and `password_file` are the credentials that opened the network cameras.
    """
    names, credentials = _UniqueNames(), _CredentialLines(username, password_file)
    adopted_cameras = [
        camera for camera in (result.onvif.found if result.onvif else ()) if camera.adopted
    ]
    tables = [*_local_camera_tables(result, names)]
    heads: list[str] = []
    for camera in adopted_cameras:
        name = names.allocate(camera.adopted.name if camera.adopted else "")
        tables += _onvif_camera_table(camera, name, credentials)
        heads += _onvif_head_table(camera, name, credentials)
    tables += _rtsp_camera_tables(result, adopted_cameras, names)
    for port in result.heads.found if result.heads else ():
        heads += [_serial_head_table(head, names) for head in port.heads]
    tables += [*heads, *_hailo_comments(result.accelerators), *_pins_comment(result)]
    return "\n".join(tables) if tables else "# nothing found that could be configured\n"


class _CredentialLines:
    """Lines for the credentials of a network camera: those that were used, or lines to fill in."""

    def __init__(self, username: str | None, password_file: str | None) -> None:
        self._credentials = (username, password_file)

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines for the options of a camera."""
        username, password_file = self._credentials
        if username is not None and password_file is not None:
            yield f"username = {format_value(username)}"
            yield f"password_file = {format_value(password_file)}"
            return
        path = PASSWORD_FILE_TEMPLATE.format(name=name)
        yield _fill_in_comment('username = "vigie"', "if it wants one")
        yield _fill_in_comment(f"password_file = {format_value(path)}", "a file of mode 0600")


class _UniqueNames:
    """Allocator of unique names that the configuration allows."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def allocate(self, wanted: str) -> str:
        base = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:MAX_NAME_LENGTH] or "camera"
        name, number = base, 2
        while name in self._used or name == BOX_EVENT_SOURCE:
            name, number = f"{base}-{number}", number + 1
        self._used.add(name)
        return name


def _local_camera_tables(result: ProbeResult, names: _UniqueNames) -> Iterator[str]:
    for module in result.camera_modules.found:
        if not module.is_usb:
            yield _csi_camera_table(
                module, names.allocate(f"csi{module.number}"), result.accelerators
            )
    for device in result.video_devices.found:
        if device.is_capture:
            yield _v4l2_camera_table(device, names.allocate(f"usb-{device.name or 'camera'}"))


def _csi_camera_table(module: CameraModule, name: str, accelerators: FoundAccelerators) -> str:
    lines = [*_render_values("[camera.options]", {"camera": module.id})]
    if any(one.kind == "imx500" and one.place == module.id for one in accelerators.found):
        lines += ["", *_accelerator_lines("imx500", accelerators.models)]
    return _render_table(
        "camera",
        {"name": name, "driver": "csi"},
        lines,
        note=f"camera module {module.number}: {module.model}",
    )


def _v4l2_camera_table(device: VideoDevice, name: str) -> str:
    options: dict[str, object] = {"device": device.best_path}
    if device.formats:
        options["format"] = device.formats[0]
    lines = [*_render_values("[camera.options]", options)]
    if not device.formats:
        formats = _to_one_line(", ".join(device.other_formats)) or "nothing"
        lines.append(f"# offers {formats}: none that the driver supports")
    camera_values: dict[str, object] = {"name": name, "driver": "v4l2"}
    if device.formats and device.formats[0] not in ("h264", "mjpeg"):
        camera_values["transcode"] = True
    return _render_table("camera", camera_values, lines, note=f"{device.name} at {device.path}")


def _onvif_camera_table(
    camera: FoundOnvif, name: str, credentials: _CredentialLines
) -> Iterator[str]:
    adopted = camera.adopted
    if adopted is None:
        return
    record, credential_lines = adopted.record, [*credentials.lines(name)]
    lines = [*_render_values("[camera.options]", {"url": adopted.stream_url}), *credential_lines]
    if adopted.detect_url is not None:
        lines += [
            "",
            *_render_values("[camera.detect_options]", {"url": adopted.detect_url}),
            *credential_lines,
        ]
    if adopted.has_events:
        lines += ["", *_render_values("[camera.onvif]", {"url": camera.url}), *credential_lines]
        lines += [f"# it can report: {_to_one_line(topic)}" for topic in adopted.topics]
        lines.append(
            _fill_in_comment("events = []", "those of its topics that are to become events here")
        )
    lines += [
        "",
        _fill_in_comment("[camera.institution]", "these three lines where it is another's"),
        _fill_in_comment('owner = "OWNER"', "whose camera it is"),
        _fill_in_comment('purpose = "traffic safety"', "what it is for"),
    ]
    note = f"{adopted.maker} {adopted.model}, serial {adopted.serial}, at {camera.url}: "
    note += f"{record.codec} {record.width_px}x{record.height_px}"
    yield _render_table("camera", {"name": name, "driver": "rtsp"}, lines, note=note)


def _rtsp_camera_tables(
    result: ProbeResult, adopted_cameras: Sequence[FoundOnvif], names: _UniqueNames
) -> Iterator[str]:
    """Yield tables for servers that belong to no ONVIF camera which has named its streams."""
    known_hosts = {
        urlsplit(camera.adopted.stream_url).hostname for camera in adopted_cameras if camera.adopted
    }
    for server in result.rtsp.found if result.rtsp else ():
        if server.status is not None and server.host not in known_hosts:
            yield _rtsp_camera_table(server, names.allocate(f"rtsp-{server.host}"))


def _rtsp_camera_table(server: FoundRtspServer, name: str) -> str:
    lines = [
        "[camera.options]",
        _fill_in_comment(
            f"url = {format_value(server.url + 'stream1')}", "the path, out of its manual"
        ),
        *_CredentialLines(None, None).lines(name),
    ]
    status = "wants a password" if server.status == 401 else f"answers {server.status}"  # noqa: PLR2004 - unauthorised
    note = f"RTSP at {server.host}:{server.port}, {server.server or 'unknown'}: {status}"
    return _render_table("camera", {"name": name, "driver": "rtsp"}, lines, note=note)


def _serial_head_table(head: FoundHead, names: _UniqueNames) -> str:
    answer = head.answer
    name = names.allocate(f"{answer.driver.replace('_', '-')}-{answer.address}")
    options: dict[str, object] = {"port": head.port}
    if head.baud is not None:
        options["baud"] = head.baud
    options["address"] = answer.address
    lines = []
    if answer.driver == "visca":
        ids = f"{_format_hex(answer.vendor_id)}, model {_format_hex(answer.model_id)}"
        note = f"VISCA camera {answer.address}, vendor {ids}"
        models = ", ".join(MODEL_NAMES)
        lines = [
            _fill_in_comment(
                'model = "ptzoptics"', f"one of {models}; or none, and its properties:"
            )
        ]
        lines += [f"# {text}  # {hint}" for text, hint in (*_LIMIT_LINES, *_UNIT_LINES)]
    else:
        note = f"Pelco-D head {answer.address}"
        if answer.reports_position:
            options["position"] = "query"
        lines = [_fill_in_comment(text, hint) for text, hint in _LIMIT_LINES]
        note += ", reports its position" if answer.reports_position else ", reports no position"
    return _render_table(
        "head",
        {"name": name, "driver": answer.driver},
        [*_render_values("[head.options]", options), *lines, _MORE_OPTIONS],
        note=note,
        comments=('# camera = "csi0"  # the camera that is mounted on it, if any',),
    )


def _onvif_head_table(
    camera: FoundOnvif, name: str, credentials: _CredentialLines
) -> Iterator[str]:
    if camera.adopted is None or not camera.adopted.has_ptz:
        return
    lines = [
        *_render_values("[head.options]", {"url": camera.url}),
        *credentials.lines(name),
        "# if the camera reports shares instead of degrees:",
        *(_fill_in_comment(text, hint) for text, hint in _LIMIT_LINES),
    ]
    head_values: dict[str, object] = {"name": name, "driver": "onvif", "camera": name}
    yield _render_table("head", head_values, lines, note=f"the head of camera {name}")


def _accelerator_lines(kind: str, models: Sequence[FoundModel]) -> Iterator[str]:
    """Yield the table of the first model of a kind, and a comment for each further one."""
    fitting = [model for model in models if model.kind == kind]
    if not fitting:
        yield f"# {kind}: no model is installed, see docs/accelerators.md"
        return
    yield from _render_values(
        "[camera.detect.accelerator]", {"model": fitting[0].model, "sha256": fitting[0].sha256}
    )
    for model in fitting[1:]:
        yield f"# or model = {format_value(model.model)}, sha256 = {format_value(model.sha256)}"


def _hailo_comments(accelerators: FoundAccelerators) -> Iterator[str]:
    for one in accelerators.found:
        if one.kind == "hailo":
            lines = [
                f"{one.name} at {one.place}: in the table of each camera that it is to watch",
                *_accelerator_lines("hailo", accelerators.models),
            ]
            yield "".join(_render_comment(line.removeprefix("# ")) for line in lines)


def _pins_comment(result: ProbeResult) -> Iterator[str]:
    if result.pins.factory is not None:
        yield _render_comment(
            f"pins: {result.pins.factory.board or 'there'}, through {result.pins.factory.name}; "
            "to configure what is connected to them: docs/pins.md"
        )


def _render_table(
    kind: str,
    values: Mapping[str, object],
    lines: Iterable[str],
    *,
    note: str,
    comments: Sequence[str] = (),
) -> str:
    table_lines = [
        _render_comment(note).rstrip("\n"),
        *_render_values(f"[[{kind}]]", values),
        *comments,
        "",
        *lines,
    ]
    return "\n".join(table_lines) + "\n"


def _render_values(heading: str, values: Mapping[str, object]) -> Iterator[str]:
    yield heading
    for key, value in values.items():
        yield f"{key} = {format_value(value)}"


def _fill_in_comment(line: str, hint: str) -> str:
    return f"# {line}  # fill in: {hint}"


def _render_comment(text: str) -> str:
    return f"# {_to_one_line(text)}\n"


def _to_one_line(text: str) -> str:
    """Replace line breaks: a device's text is untrusted, and a comment ends with its line."""
    return "".join(char if char.isprintable() else " " for char in text)


def _format_hex(number: int | None) -> str:
    return "unknown" if number is None else f"{number:04x}"
