"""`camera`: what a camera sees, in characters over the cable, and help to aim and focus it."""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.capture import lens_aim
from agent.console.arguments import choose_arg
from agent.console.results import Box, CameraPreview, PreviewPicture
from agent.console.terminal import Terminal

NAME = "camera"
HELP = "what a camera sees; help to aim, level and focus it"
USAGE = (
    "camera [NAME]         one picture in characters, focus, light, level, glass",
    "camera [NAME] focus   a bar that climbs as you turn the lens (q ends)",
    "camera [NAME] level   how far upright lines lean, as you turn the camera (q ends)",
    "camera [NAME] live    picture after picture (q ends)",
)

PICTURE_TIMEOUT_S = 10.0
REFRESH_S = 0.25
LIVE_REFRESH_S = 1.0
LEVEL_TOLERANCE_DEG = 1.0
MAX_LEVEL_DEG, LEVEL_BAR_CELLS = 15.0, 15
_MODES = ("focus", "level", "live")
_QUIT_KEYS = ("q", "Q", "cancel", "end")
_TEXT_ROWS = 8


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Look."""
    names = box.camera_names()
    modes = [word for word in argv if word in _MODES and word not in names]
    names_given = [word for word in argv if word not in modes]
    if len(modes) > 1 or len(names_given) > 1:
        raise UserError(f"camera {' '.join(argv)}: allowed: camera [NAME] [focus, level or live]")
    name = choose_arg("camera", names_given[0] if names_given else None, names)
    terminal.print(f"Camera {name}: waiting for a picture ...")
    preview = box.open_preview(name)
    try:
        if modes == ["focus"]:
            _run_focus(terminal, preview)
        elif modes == ["level"]:
            _run_level(terminal, preview)
        elif modes == ["live"]:
            _run_live(terminal, preview)
        else:
            _print_once(terminal, preview, name)
    finally:
        preview.close()


def _print_once(terminal: Terminal, preview: CameraPreview, name: str) -> None:
    picture = preview.read(PICTURE_TIMEOUT_S)
    if picture is None:
        terminal.print(
            f"No picture came within {PICTURE_TIMEOUT_S:.0f} s ({preview.source} was asked). Try: check 6"
        )
        return
    terminal.new_page()
    terminal.print(f"{name}, {picture.width_px} x {picture.height_px}, shown by {preview.source}")
    _print_picture(terminal, picture)
    terminal.table(_describe(picture))


def _print_picture(terminal: Terminal, picture: PreviewPicture) -> None:
    rows = max(8, terminal.rows - _TEXT_ROWS)
    terminal.print(*lens_aim.to_ascii(picture.luma, terminal.columns - 2, rows))


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
        return "cannot tell: too few upright lines"
    if abs(lean_deg) < LEVEL_TOLERANCE_DEG:
        return "good: upright lines stand upright"
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


def _run_focus(terminal: Terminal, preview: CameraPreview) -> None:
    terminal.print("Turn the lens slowly. q ends, r forgets the best, p shows a picture.")
    best, missed = 0.0, 0
    while True:
        picture = preview.read(PICTURE_TIMEOUT_S)
        if picture is None:
            missed += 1
            terminal.overwrite_line(f"no picture for {missed * PICTURE_TIMEOUT_S:.0f} s")
        elif picture.aim.focus is None:
            terminal.overwrite_line("focus  --- nothing in the middle to focus on")
        else:
            focus, best = picture.aim.focus, max(best, picture.aim.focus)
            comparison = "best" if focus >= best * 0.98 else f"{1 - focus / best:.0%} below"
            terminal.overwrite_line(
                f"focus {focus:5.1f} [{lens_aim.focus_bar(focus, best)}] best {best:.1f}: {comparison}"
            )
        terminal.flush_line()
        key = terminal.read_key(REFRESH_S)
        if key in _QUIT_KEYS:
            terminal.print()
            return
        if key == "r":
            best = 0.0
        if key == "p" and picture is not None:
            terminal.print()
            terminal.new_page()
            _print_picture(terminal, picture)


def _run_level(terminal: Terminal, preview: CameraPreview) -> None:
    terminal.print("Turn the camera slowly, and stop at 0. q ends.")
    while True:
        picture = preview.read(PICTURE_TIMEOUT_S)
        if picture is None:
            terminal.overwrite_line(f"no picture for {PICTURE_TIMEOUT_S:.0f} s")
        else:
            terminal.overwrite_line(f"level {_level_bar(picture.aim.lean_deg)}")
        terminal.flush_line()
        if terminal.read_key(REFRESH_S) in _QUIT_KEYS:
            terminal.print()
            return


def _level_bar(lean_deg: float | None) -> str:
    """On one line: which way, and how far."""
    if lean_deg is None:
        return "  --- too few upright lines: poles, walls, doors"
    cells = ["."] * (2 * LEVEL_BAR_CELLS + 1)
    cells[LEVEL_BAR_CELLS] = "0"
    position = LEVEL_BAR_CELLS + round(
        max(-1.0, min(1.0, lean_deg / MAX_LEVEL_DEG)) * LEVEL_BAR_CELLS
    )
    cells[position] = "#"
    turn = "good"
    if abs(lean_deg) >= LEVEL_TOLERANCE_DEG:
        turn = "turn it clockwise" if lean_deg > 0 else "turn it counter-clockwise"
    return f"{lean_deg:5.1f} [{''.join(cells)}] {turn}"


def _run_live(terminal: Terminal, preview: CameraPreview) -> None:
    terminal.print("q ends.")
    while True:
        picture = preview.read(PICTURE_TIMEOUT_S)
        terminal.new_page()
        if picture is None:
            terminal.print(f"no picture for {PICTURE_TIMEOUT_S:.0f} s")
        else:
            _print_picture(terminal, picture)
            focus = "---" if picture.aim.focus is None else f"{picture.aim.focus:.1f}"
            terminal.print(
                f"focus {focus}, light {picture.aim.exposure}, level {_level_text(picture.aim.lean_deg)}"
            )
        terminal.flush_line()
        if terminal.read_key(LIVE_REFRESH_S) in _QUIT_KEYS:
            return
