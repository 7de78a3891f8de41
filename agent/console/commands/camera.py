"""`camera`: a camera's picture in characters over the cable, and help to aim and focus it."""

from collections.abc import Iterator, Sequence

from agent.base.errors import UserError
from agent.capture import lens_aim
from agent.console.arguments import choose_arg
from agent.console.camera_preview import CameraPreview, PreviewPicture
from agent.console.context import ConsoleContext
from agent.console.keystrokes import Key
from agent.console.session import ConsoleCommand, always
from agent.console.terminal import Terminal
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


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Show one picture, or help to focus, level or watch."""
    names = context.camera_names
    modes = [word for word in argv if word in _MODES and word not in names]
    names_given = [word for word in argv if word not in modes]
    if len(modes) > 1 or len(names_given) > 1:
        raise UserError(f"camera {' '.join(argv)}: allowed: camera [NAME] [focus, level or live]")
    name = choose_arg("camera", names_given[0] if names_given else None, names)
    terminal.print(f"Camera {name}: waiting for a picture ...")
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
            f"No picture came within {PICTURE_TIMEOUT_S:.0f} s from {preview.source}. Try: check 6"
        )
        return
    terminal.new_page()
    terminal.print(f"{name}, {picture.width_px} x {picture.height_px}, shown by {preview.source}")
    print_picture(terminal, picture.luma, _TEXT_ROWS)
    terminal.table(_describe(picture))


def _describe(picture: PreviewPicture) -> list[tuple[str, str]]:
    aim, readings = picture.aim, picture.readings
    sensor = ""
    if readings is not None:
        parts = [
            "" if readings.exposure_us is None else f"{readings.exposure_us / 1000:.1f} ms",
            "" if readings.analogue_gain is None else f"gain {readings.analogue_gain:.1f}",
            "night" if readings.night else "",
        ]
        sensor = "; ".join(part for part in parts if part)
    focus = "nothing in the middle to focus on"
    if aim.focus is not None:
        focus = f"{aim.focus:4.1f} [{lens_aim.focus_bar(aim.focus, aim.focus)}]"
    return [
        ("focus", focus),
        ("light", f"{aim.exposure}; mean {aim.mean:.0f} of 255; {sensor}".rstrip("; ")),
        ("level", _level_text(aim.lean_deg)),
        ("glass", _glass_text(aim)),
    ]


def _level_text(lean_deg: float | None) -> str:
    if lean_deg is None:
        return "unknown: too few upright lines"
    if abs(lean_deg) < LEVEL_TOLERANCE_DEG:
        return "good: upright lines are upright"
    side, turn = ("right", "clockwise") if lean_deg > 0 else ("left", "counter-clockwise")
    return (
        f"upright lines lean {abs(lean_deg):.1f} degrees to the {side}: turn the camera {turn}, "
        "seen from behind it"
    )


def _glass_text(aim: lens_aim.LensAim) -> str:
    if aim.hazy:
        return "hazy, as through fog or dirt: wipe the glass"
    if aim.soft_spots:
        return f"no detail at {', '.join(aim.soft_spots)}: sky, wall, or dirt on the glass"
    return "clear"


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
            terminal.overwrite_line(f"no picture for {missing_s:.0f} s")
        terminal.flush_line()
        key = terminal.read_key(refresh_s)
    terminal.print()


def _run_focus(terminal: Terminal, preview: CameraPreview) -> None:
    terminal.print("Turn the lens slowly. q ends, r resets the best, p shows a picture.")
    best = 0.0
    for picture, key in _watch(terminal, preview, REFRESH_S):
        if key == "p":
            terminal.print()
            terminal.new_page()
            print_picture(terminal, picture.luma, _TEXT_ROWS)
        focus = picture.aim.focus
        if focus is None:
            terminal.overwrite_line("focus  --- nothing in the middle to focus on")
            continue
        best = focus if key == "r" else max(best, focus)
        comparison = "best" if focus >= best * 0.98 else f"{1 - focus / best:.0%} below"
        terminal.overwrite_line(
            f"focus {focus:5.1f} [{lens_aim.focus_bar(focus, best)}] best {best:.1f}: {comparison}"
        )


def _run_level(terminal: Terminal, preview: CameraPreview) -> None:
    terminal.print("Turn the camera slowly, and stop at 0. q ends.")
    for picture, _ in _watch(terminal, preview, REFRESH_S):
        terminal.overwrite_line(f"level {_level_bar(picture.aim.lean_deg)}")


def _level_bar(lean_deg: float | None) -> str:
    """Format a lean as a bar with its zero in the middle, and the turn that corrects it."""
    if lean_deg is None:
        return "  --- too few upright lines: poles, walls, doors"
    cells = ["."] * (2 * LEVEL_BAR_CELLS + 1)
    cells[LEVEL_BAR_CELLS] = "0"
    ratio = max(-1.0, min(1.0, lean_deg / MAX_LEVEL_DEG))
    cells[LEVEL_BAR_CELLS + round(ratio * LEVEL_BAR_CELLS)] = "#"
    turn = "good"
    if abs(lean_deg) >= LEVEL_TOLERANCE_DEG:
        turn = "turn it clockwise" if lean_deg > 0 else "turn it counter-clockwise"
    return f"{lean_deg:5.1f} [{''.join(cells)}] {turn}"


def _run_live(terminal: Terminal, preview: CameraPreview) -> None:
    terminal.print("q ends.")
    for picture, _ in _watch(terminal, preview, LIVE_REFRESH_S):
        terminal.new_page()
        print_picture(terminal, picture.luma, _TEXT_ROWS)
        focus = "---" if picture.aim.focus is None else f"{picture.aim.focus:.1f}"
        terminal.print(
            f"focus {focus}, light {picture.aim.exposure}, level {_level_text(picture.aim.lean_deg)}"
        )


CAMERA = ConsoleCommand(
    name="camera",
    help="a camera's picture; help to aim, level and focus it",
    usage=(
        "camera [NAME]         one picture in characters, focus, light, level, glass",
        "camera [NAME] focus   a bar that grows as you turn the lens (q ends)",
        "camera [NAME] level   the lean of upright lines as you turn the camera (q ends)",
        "camera [NAME] live    picture after picture (q ends)",
    ),
    run=run,
    needs_receipt=always,
)
