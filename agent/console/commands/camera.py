"""`camera`: a camera's picture over the cable, in characters, in the terminal's graphics or as a file, and help to
aim and focus it.
"""

from collections.abc import Iterator, Sequence

from agent.base.message import Message, Text, join_phrases
from agent.base.sha256 import sha256_hex
from agent.capture import focus_search, lens_aim
from agent.capture.focus_search import FocusSearch
from agent.console import file_transfer, terminal_graphics, xmodem
from agent.console.arguments import choose_arg, usage_error
from agent.console.camera_preview import DEFAULT_SIZE_PX, CameraPreview, PreviewPicture
from agent.console.context import VIEW_PURPOSE, ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.keystrokes import Key
from agent.console.session import ConsoleCommand, always
from agent.console.terminal import Terminal
from agent.console.terminal_graphics import GraphicsProtocol
from drivers.contracts import CameraReadings
from drivers.media import Plane

PICTURE_TIMEOUT_S = 10.0
WATCH_TIMEOUT_S = 1.0
"""Wait for a picture while keys are to be answered."""
REFRESH_S = 0.25
LIVE_REFRESH_S = 1.0
LEVEL_TOLERANCE_DEG = 1.0
MAX_LEVEL_DEG, LEVEL_BAR_CELLS = 15.0, 15
MIN_PICTURE_ROWS = 8
GRAPHICS_SIZE_PX = (240, 180)
"""As large as a QR code on the screen. The median of 23 clips was 30 kB of sixel, 18 kB for kitty: 2 to 3 s at 115200
baud."""
JPEG_TRANSFER_S = 10.0
MAX_JPEG_BYTES = xmodem.SHORT_BLOCK_BYTES * int(
    JPEG_TRANSFER_S * file_transfer.LINE_BYTES_PER_S / xmodem.SHORT_BLOCK_BYTES
)
"""100,096: as many whole blocks as take JPEG_TRANSFER_S at 115200 baud."""
_MODES = ("focus", "level", "live", "picture", "xmodem")
_FILE_PURPOSE = "took a picture over the cable of the box's console"
_FOCUS_VERDICTS = {
    True: Message("pass"),
    False: Message("FAIL: below the mark"),
    None: Message("turn on past the sharpest"),
}
_QUIT_KEYS = ("q", "Q", "cancel", "eof")
_TEXT_ROWS = 8
_PLACES = {
    str(place): place
    for place in (
        Message("top left"),
        Message("top centre left"),
        Message("top centre right"),
        Message("top right"),
        Message("middle left"),
        Message("middle centre left"),
        Message("middle centre right"),
        Message("middle right"),
        Message("bottom left"),
        Message("bottom centre left"),
        Message("bottom centre right"),
        Message("bottom right"),
    )
}
_NOTHING_TO_FOCUS_ON = Message("nothing in the middle to focus on")


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Show one picture, send it, or help to focus, level or watch."""
    names = context.camera_names
    modes = [word for word in argv if word in _MODES and word not in names]
    names_given = [word for word in argv if word not in modes]
    if len(modes) > 1 or len(names_given) > 1:
        raise usage_error(("camera", *argv), f"camera [NAME] [{' | '.join(_MODES)}]")
    name = choose_arg(Message("camera"), names_given[0] if names_given else None, names)
    mode = modes[0] if modes else ""
    protocol = _detect_graphics(terminal, name) if mode == "picture" else None
    terminal.print(Message("Camera {name}: waiting for a picture ...", name=name))
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
                jpeg = preview.read_jpeg(PICTURE_TIMEOUT_S, MAX_JPEG_BYTES)
                if jpeg is None:
                    _print_no_picture(terminal, preview)
            case _:
                _print_once(terminal, preview, name, protocol)
    finally:
        preview.close()
    if jpeg is not None:
        _send_jpeg(terminal, context, name, jpeg)


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
    terminal: Terminal, preview: CameraPreview, name: str, protocol: GraphicsProtocol | None
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
    terminal.table(_describe(picture))


def _describe(picture: PreviewPicture) -> list[tuple[Text, Text]]:
    aim = picture.aim
    focus: Text = _NOTHING_TO_FOCUS_ON
    if aim.focus is not None:
        bar = lens_aim.focus_bar(aim.focus)
        focus = Message("{focus:4.1f} [{bar}]", focus=aim.focus, bar=bar)
    light = Message("{exposure}; mean {mean:.0f} of 255", exposure=aim.exposure, mean=aim.mean)
    return [
        (Message("focus"), focus),
        (Message("light"), join_phrases(light, *_readings_texts(picture.readings))),
        (Message("level"), _level_text(aim.lean_deg)),
        (Message("glass"), _glass_text(aim)),
    ]


def _readings_texts(readings: CameraReadings | None) -> Iterator[Message]:
    if readings is None:
        return
    if readings.exposure_us is not None:
        yield Message("{exposure_ms:.1f} ms", exposure_ms=readings.exposure_us / 1000)
    if readings.analogue_gain is not None:
        yield Message("gain {gain:.1f}", gain=readings.analogue_gain)
    if readings.night:
        yield Message("night")


def _level_text(lean_deg: float | None) -> Message:
    if lean_deg is None:
        return Message("unknown: too few upright lines")
    if abs(lean_deg) < LEVEL_TOLERANCE_DEG:
        return Message("good: upright lines are upright")
    if lean_deg > 0:
        return Message(
            "upright lines lean {lean_deg:.1f} degrees to the right: turn the camera clockwise, seen "
            "from behind it",
            lean_deg=lean_deg,
        )
    return Message(
        "upright lines lean {lean_deg:.1f} degrees to the left: turn the camera counter-clockwise, "
        "seen from behind it",
        lean_deg=-lean_deg,
    )


def _glass_text(aim: lens_aim.LensAim) -> Message:
    if aim.hazy:
        return Message("hazy, as through fog or dirt: wipe the glass")
    if aim.soft_spots:
        return Message(
            "no detail at {places}: sky, wall, or dirt on the glass",
            places=join_phrases(*(_PLACES.get(place, place) for place in aim.soft_spots)),
        )
    return Message("clear")


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
            terminal.overwrite_line(Message("focus  --- {reason}", reason=_NOTHING_TO_FOCUS_ON))
            continue
        terminal.overwrite_line(
            Message(
                "focus: {percent} % of the best seen [{bar}] {verdict}",
                percent=search.percent,
                bar=focus_search.percent_bar(search.percent),
                verdict=_FOCUS_VERDICTS[search.is_in_focus],
            )
        )
    if search.has_passed_peak:
        context.best_focus[name] = search.best
    terminal.print(
        Message(
            "focus: {verdict}; allowed: {threshold} % of the best seen or more",
            verdict=_FOCUS_VERDICTS[search.is_in_focus],
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
                level=_level_text(picture.aim.lean_deg),
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
        ("camera [NAME] live", Message("picture after picture (q ends)")),
    ),
    run=run,
    needs_receipt=always,
)
