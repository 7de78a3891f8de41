"""`camera`: a camera's picture in characters over the cable, and help to aim and focus it."""

from collections.abc import Iterator, Sequence

from agent.base.message import Message, Text, join_phrases
from agent.capture import lens_aim
from agent.console.arguments import choose_arg, usage_error
from agent.console.camera_preview import CameraPreview, PreviewPicture
from agent.console.context import ConsoleContext
from agent.console.keystrokes import Key
from agent.console.session import ConsoleCommand, always
from agent.console.terminal import Terminal
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
_MODES = ("focus", "level", "live")
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
    """Show one picture, or help to focus, level or watch."""
    names = context.camera_names
    modes = [word for word in argv if word in _MODES and word not in names]
    names_given = [word for word in argv if word not in modes]
    if len(modes) > 1 or len(names_given) > 1:
        raise usage_error(("camera", *argv), "camera [NAME] [focus | level | live]")
    name = choose_arg(Message("camera"), names_given[0] if names_given else None, names)
    terminal.print(Message("Camera {name}: waiting for a picture ...", name=name))
    preview = context.open_preview(name)
    try:
        match modes:
            case ["focus"]:
                _run_focus(terminal, preview)
            case ["level"]:
                _run_level(terminal, preview)
            case ["live"]:
                _run_live(terminal, preview)
            case _:
                _print_once(terminal, preview, name)
    finally:
        preview.close()


def print_picture(terminal: Terminal, luma: Plane, text_rows: int) -> None:
    """Print a picture that leaves `text_rows` lines of the screen."""
    rows = max(MIN_PICTURE_ROWS, terminal.rows - text_rows)
    terminal.print(*lens_aim.to_ascii(luma, terminal.columns - 2, rows))


def _print_once(terminal: Terminal, preview: CameraPreview, name: str) -> None:
    picture = preview.read(PICTURE_TIMEOUT_S)
    if picture is None:
        terminal.print(
            Message(
                "No picture came within {timeout_s:.0f} s from {source}. Try: check 6",
                timeout_s=PICTURE_TIMEOUT_S,
                source=preview.source,
            )
        )
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
    print_picture(terminal, picture.luma, _TEXT_ROWS)
    terminal.table(_describe(picture))


def _describe(picture: PreviewPicture) -> list[tuple[Text, Text]]:
    aim = picture.aim
    focus: Text = _NOTHING_TO_FOCUS_ON
    if aim.focus is not None:
        bar = lens_aim.focus_bar(aim.focus, aim.focus)
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


def _run_focus(terminal: Terminal, preview: CameraPreview) -> None:
    terminal.print(Message("Turn the lens slowly. q ends, r resets the best, p shows a picture."))
    best = 0.0
    for picture, key in _watch(terminal, preview, REFRESH_S):
        if key == "p":
            terminal.print()
            terminal.new_page()
            print_picture(terminal, picture.luma, _TEXT_ROWS)
        focus = picture.aim.focus
        if focus is None:
            terminal.overwrite_line(Message("focus  --- {reason}", reason=_NOTHING_TO_FOCUS_ON))
            continue
        best = focus if key == "r" else max(best, focus)
        comparison = (
            Message("best")
            if focus >= best * 0.98
            else Message("{loss:.0%} below", loss=1 - focus / best)
        )
        terminal.overwrite_line(
            Message(
                "focus {focus:5.1f} [{bar}] best {best:.1f}: {comparison}",
                focus=focus,
                bar=lens_aim.focus_bar(focus, best),
                best=best,
                comparison=comparison,
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
        ("camera [NAME] focus", Message("a bar that grows as you turn the lens (q ends)")),
        (
            "camera [NAME] level",
            Message("the lean of upright lines as you turn the camera (q ends)"),
        ),
        ("camera [NAME] live", Message("picture after picture (q ends)")),
    ),
    run=run,
    needs_receipt=always,
)
