"""`camera`: a camera's picture over the cable, in characters, in the terminal's graphics or as a file, and help to
aim and focus it.
"""

from collections.abc import Iterator, Sequence

from agent.base.message import Message, Text
from agent.base.sha256 import sha256_hex
from agent.capture import focus_search, lens_aim
from agent.capture.focus_search import FocusSearch
from agent.console import file_transfer, terminal_graphics, xmodem
from agent.console.acts.act import call_at_console
from agent.console.acts.aiming import (
    LEVEL_TOLERANCE_DEG,
    NOTHING_TO_FOCUS_ON,
    focus_verdict,
    glass_text,
    read_horizon,
    read_level,
    read_light,
)
from agent.console.acts.camera_password import find_uses, set_password
from agent.console.arguments import choose_arg, usage_error
from agent.console.camera_preview import DEFAULT_SIZE_PX, CameraPreview, PreviewPicture
from agent.console.check_result import print_results
from agent.console.console_command import ConsoleCommand, always
from agent.console.context import VIEW_PURPOSE, ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.keystrokes import Key
from agent.console.terminal import Terminal
from agent.console.terminal_graphics import GraphicsProtocol
from drivers.media import Plane

PICTURE_TIMEOUT_S = 10.0
WATCH_TIMEOUT_S = 1.0
"""Wait for a picture while keys are to be answered."""
REFRESH_S = 0.25
LIVE_REFRESH_S = 1.0
MAX_LEVEL_DEG, LEVEL_BAR_CELLS = 15.0, 15
MIN_PICTURE_ROWS = 8
GRAPHICS_SIZE_PX = (240, 180)
"""As large as a QR code on the screen. The median of 23 clips was 30 kB of sixel, 18 kB for kitty: 2 to 3 s at 115200
baud."""
JPEG_TRANSFER_S = 10.0
MAX_JPEG_BYTES = xmodem.SHORT_BLOCK_BYTES * int(
    JPEG_TRANSFER_S * file_transfer.LINE_BYTES_PER_S / xmodem.SHORT_BLOCK_BYTES
)
"""100,224: as many whole blocks as take JPEG_TRANSFER_S at 115200 baud."""
_MODES = ("aim", "daynight", "focus", "level", "live", "password", "picture", "xmodem")
_FILE_PURPOSE = "took a picture over the cable of the box's console"
_QUIT_KEYS = ("q", "Q", "cancel", "eof")
_TEXT_ROWS = 8


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Show one picture, send it, or help to focus, level or watch."""
    names = context.camera_names
    modes = [word for word in argv if word in _MODES and word not in names]
    names_given = [word for word in argv if word not in modes]
    if len(modes) > 1 or len(names_given) > 1:
        raise usage_error(("camera", *argv), f"camera [NAME] [{' | '.join(_MODES)}]")
    name = choose_arg(Message("camera"), names_given[0] if names_given else None, names)
    mode = modes[0] if modes else ""
    if mode == "password":
        _change_password(terminal, context, name)
        return
    protocol = _detect_graphics(terminal, name) if mode == "picture" else None
    terminal.print(Message("Camera {name}: waiting for a picture ...", name=name))
    if mode in ("aim", "daynight"):
        _run_act(terminal, context, name, mode)
        return
    preview = context.open_preview(name, _FILE_PURPOSE if mode == "xmodem" else VIEW_PURPOSE)
    jpeg: bytes | None = None
    try:
        match mode:
            case "focus":
                _run_focus(terminal, context, preview, name)
            case "level":
                _run_level(terminal, preview)
            case "live":
                _run_live(terminal, preview)
            case "xmodem":
                jpeg = _read_jpeg(terminal, preview)
            case _:
                _print_once(terminal, context, preview, name, protocol)
    finally:
        preview.close()
    if jpeg is not None:
        _send_jpeg(terminal, context, name, jpeg)


def _run_act(terminal: Terminal, context: ConsoleContext, name: str, mode: str) -> None:
    # Imported here: OpenCV and the models come with it.
    from agent.console.acts import cameras  # noqa: PLC0415

    call, args = call_at_console(context), cameras.CameraArgs(camera=name)
    if mode == "daynight":
        print_results(terminal, cameras.day_night(call, args).values)
        return
    try:
        comparison = cameras.aim(call, args)
    finally:
        call.state.live.close()
    terminal.print(
        Message(
            "commissioned {time} by {name}",
            time=comparison.certificate.time,
            name=comparison.certificate.technician,
        ),
        *comparison.lines,
    )


def _change_password(terminal: Terminal, context: ConsoleContext, name: str) -> None:
    uses = find_uses(context.require_config(), name)
    password = terminal.read_line(Message("New password (it is not shown): "), is_secret=True)
    terminal.print(Message("Trying it at the camera ..."))
    set_password(context, name, uses, password)
    names = ", ".join(dict.fromkeys(use.name for use in uses))
    terminal.print(Message("Accepted by {names}, and kept.", names=names))


def _detect_graphics(terminal: Terminal, name: str) -> GraphicsProtocol:
    protocol = terminal_graphics.detect(terminal)
    if protocol is None:
        raise ConsoleError(
            Message(
                "this terminal program shows no pictures (sixel, kitty); allowed: camera {name}, "
                "camera {name} xmodem",
                name=name,
            )
        )
    return protocol


def _read_jpeg(terminal: Terminal, preview: CameraPreview) -> bytes | None:
    picture = preview.read(PICTURE_TIMEOUT_S, jpeg_max_bytes=MAX_JPEG_BYTES)
    if picture is None:
        _print_no_picture(terminal, preview)
        return None
    return picture.jpeg


def _send_jpeg(terminal: Terminal, context: ConsoleContext, name: str, jpeg: bytes) -> None:
    """Send a picture as a file; the receipt before it has its hash."""
    file_name = f"{context.box_id}-{name}-{context.now():%Y%m%dT%H%M%SZ}.jpg"
    padded = file_transfer.pad_jpeg(jpeg)
    context.write_receipt(f"sends {file_name}, sha256 {sha256_hex(padded)}")
    file_transfer.send(terminal, file_name, padded)


def print_picture(terminal: Terminal, luma: Plane, text_rows: int) -> None:
    """Print a picture that leaves `text_rows` lines of the screen."""
    rows = max(MIN_PICTURE_ROWS, terminal.rows - text_rows)
    terminal.print(*lens_aim.to_ascii(luma, terminal.columns - 2, rows))


def _print_no_picture(terminal: Terminal, preview: CameraPreview) -> None:
    terminal.print(
        Message(
            "No picture came within {timeout_s:.0f} s from {source}. Try: check 6",
            timeout_s=PICTURE_TIMEOUT_S,
            source=preview.source,
        )
    )


def _print_once(
    terminal: Terminal,
    context: ConsoleContext,
    preview: CameraPreview,
    name: str,
    protocol: GraphicsProtocol | None,
) -> None:
    size_px = DEFAULT_SIZE_PX if protocol is None else GRAPHICS_SIZE_PX
    picture = preview.read(PICTURE_TIMEOUT_S, size_px)
    if picture is None:
        _print_no_picture(terminal, preview)
        return
    terminal.new_page()
    terminal.print(
        Message(
            "{name}, {width_px} x {height_px}, shown by {source}",
            name=name,
            width_px=picture.width_px,
            height_px=picture.height_px,
            source=preview.source,
        )
    )
    if protocol is None:
        print_picture(terminal, picture.luma, _TEXT_ROWS)
    else:
        terminal.draw(terminal_graphics.encode(picture.luma, protocol))
    rows = _describe(picture)
    level = read_level(picture.aim.lean_deg)
    horizon = read_horizon(context, name, level, picture.width_px / picture.height_px)
    if horizon.basis is not None:
        rows.append((Message("horizon"), horizon.text))
    terminal.table(rows)


def _describe(picture: PreviewPicture) -> list[tuple[Text, Text]]:
    aim = picture.aim
    focus: Text = NOTHING_TO_FOCUS_ON
    if aim.focus is not None:
        bar = lens_aim.focus_bar(aim.focus)
        focus = Message("{focus:4.1f} [{bar}]", focus=aim.focus, bar=bar)
    return [
        (Message("focus"), focus),
        (Message("light"), read_light(aim, picture.readings).text),
        (Message("level"), read_level(aim.lean_deg).text),
        (Message("glass"), glass_text(aim)),
    ]


def _watch(
    terminal: Terminal, preview: CameraPreview, refresh_s: float
) -> Iterator[tuple[PreviewPicture, Key | None]]:
    """Yield picture after picture, each with the key that was pressed before, until q."""
    key: Key | None = None
    last_picture_ns = terminal.clock_ns()
    while key not in _QUIT_KEYS:
        picture = preview.read(WATCH_TIMEOUT_S)
        if picture is not None:
            last_picture_ns = terminal.clock_ns()
            yield picture, key
        else:
            missing_s = (terminal.clock_ns() - last_picture_ns) / 1e9
            terminal.overwrite_line(
                Message("no picture for {missing_s:.0f} s", missing_s=missing_s)
            )
        terminal.flush_line()
        key = terminal.read_key(refresh_s)
    terminal.print()


def _run_focus(
    terminal: Terminal, context: ConsoleContext, preview: CameraPreview, name: str
) -> None:
    terminal.print(
        Message(
            "Turn the lens slowly past the sharpest picture, and back to it. q ends, r starts again, p "
            "shows a picture."
        )
    )
    search = FocusSearch()
    for picture, key in _watch(terminal, preview, REFRESH_S):
        if key == "p":
            terminal.print()
            terminal.new_page()
            print_picture(terminal, picture.luma, _TEXT_ROWS)
        if key == "r":
            search = FocusSearch()
        search.add(picture.aim.focus_blocks)
        if search.percent is None:
            terminal.overwrite_line(Message("focus  --- {reason}", reason=NOTHING_TO_FOCUS_ON))
            continue
        terminal.overwrite_line(
            Message(
                "focus: {percent} % of the best seen [{bar}] {verdict}",
                percent=search.percent,
                bar=focus_search.percent_bar(search.percent),
                verdict=focus_verdict(search),
            )
        )
    if search.has_passed_peak:
        context.best_focus[name] = search.best
    terminal.print(
        Message(
            "focus: {verdict}; allowed: {threshold} % of the best seen or more",
            verdict=focus_verdict(search),
            threshold=focus_search.PASS_PERCENT,
        )
    )


def _run_level(terminal: Terminal, preview: CameraPreview) -> None:
    terminal.print(Message("Turn the camera slowly, and stop at 0. q ends."))
    for picture, _ in _watch(terminal, preview, REFRESH_S):
        terminal.overwrite_line(_level_bar(picture.aim.lean_deg))


def _level_bar(lean_deg: float | None) -> Message:
    """Format a lean as a bar with its zero in the middle, and the turn that corrects it."""
    if lean_deg is None:
        return Message("level   --- too few upright lines: poles, walls, doors")
    cells = ["."] * (2 * LEVEL_BAR_CELLS + 1)
    cells[LEVEL_BAR_CELLS] = "0"
    ratio = max(-1.0, min(1.0, lean_deg / MAX_LEVEL_DEG))
    cells[LEVEL_BAR_CELLS + round(ratio * LEVEL_BAR_CELLS)] = "#"
    if abs(lean_deg) < LEVEL_TOLERANCE_DEG:
        turn = Message("good")
    elif lean_deg > 0:
        turn = Message("turn it clockwise")
    else:
        turn = Message("turn it counter-clockwise")
    return Message(
        "level {lean_deg:5.1f} [{bar}] {turn}", lean_deg=lean_deg, bar="".join(cells), turn=turn
    )


def _run_live(terminal: Terminal, preview: CameraPreview) -> None:
    terminal.print(Message("q ends."))
    for picture, _ in _watch(terminal, preview, LIVE_REFRESH_S):
        terminal.new_page()
        print_picture(terminal, picture.luma, _TEXT_ROWS)
        focus = picture.aim.focus
        terminal.print(
            Message(
                "focus {focus}, light {exposure}, level {level}",
                focus="---" if focus is None else Message("{focus:.1f}", focus=focus),
                exposure=picture.aim.exposure,
                level=read_level(picture.aim.lean_deg).text,
            )
        )


CAMERA = ConsoleCommand(
    name="camera",
    help=Message("a camera's picture; help to aim, level and focus it"),
    usage=(
        ("camera [NAME]", Message("one picture in characters, focus, light, level, glass")),
        (
            "camera [NAME] picture",
            Message("a small picture, if the terminal program shows sixel or kitty"),
        ),
        ("camera [NAME] xmodem", Message("a JPEG as a file, in 10 s at 115200 baud")),
        (
            "camera [NAME] focus",
            Message("the focus by the sharpest seen, as you turn the lens (q ends)"),
        ),
        (
            "camera [NAME] level",
            Message("the lean of upright lines as you turn the camera (q ends)"),
        ),
        (
            "camera [NAME] aim",
            Message("the shift of the view since the newest certificate, and how to undo it"),
        ),
        (
            "camera [NAME] password",
            Message("a new password, if the camera accepts it; asks for it, and does not show it"),
        ),
        (
            "camera [NAME] daynight",
            Message("day and night test: mode, filter, lamp and picture, and back"),
        ),
        ("camera [NAME] live", Message("picture after picture (q ends)")),
    ),
    run=run,
    needs_receipt=always,
)
