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

LOOK_S = 10.0
EVERY_S = 0.25
LIVE_EVERY_S = 1.0
LEVEL_DEG = 1.0
LEVEL_MOST_DEG, LEVEL_CELLS = 15.0, 15
_HOW = ("focus", "level", "live")
_LEAVE = ("q", "Q", "cancel", "end")
_TEXT_ROWS = 8


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """Look."""
    names = box.cameras()
    how = [word for word in words if word in _HOW and word not in names]
    given = [word for word in words if word not in how]
    if len(how) > 1 or len(given) > 1:
        raise UserError(f"camera {' '.join(words)}: allowed: camera [NAME] [focus, level or live]")
    name = choose_arg("camera", given[0] if given else None, names)
    terminal.print(f"Camera {name}: waiting for a picture ...")
    eye = box.open_eye(name)
    try:
        if how == ["focus"]:
            _focus(terminal, eye)
        elif how == ["level"]:
            _levelled(terminal, eye)
        elif how == ["live"]:
            _live(terminal, eye)
        else:
            _once(terminal, eye, name)
    finally:
        eye.close()


def _once(terminal: Terminal, eye: CameraPreview, name: str) -> None:
    view = eye.look(LOOK_S)
    if view is None:
        terminal.print(
            f"No picture came within {LOOK_S:.0f} s ({eye.source} was asked). Try: check 6"
        )
        return
    terminal.new_page()
    terminal.print(f"{name}, {view.width_px} x {view.height_px}, shown by {eye.source}")
    _picture(terminal, view)
    terminal.table(_judged(view))


def _picture(terminal: Terminal, view: PreviewPicture) -> None:
    rows = max(8, terminal.rows - _TEXT_ROWS)
    terminal.print(*lens_aim.characters(view.luma, terminal.columns - 2, rows))


def _judged(view: PreviewPicture) -> list[tuple[str, str]]:
    found, readings = view.aim, view.readings
    sensor = ""
    if readings is not None:
        parts = [
            "" if readings.exposure_us is None else f"{readings.exposure_us / 1000:.1f} ms",
            "" if readings.analogue_gain is None else f"gain {readings.analogue_gain:.1f}",
            "night" if readings.night else "",
        ]
        sensor = "; ".join(part for part in parts if part)
    focus = "nothing in the middle to focus on"
    if found.focus is not None:
        focus = f"{found.focus:4.1f} [{lens_aim.bar(found.focus, found.focus)}]"
    return [
        ("focus", focus),
        ("light", f"{found.exposure}; mean {found.mean:.0f} of 255; {sensor}".rstrip("; ")),
        ("level", _level(found.lean_deg)),
        ("glass", _glass(found)),
    ]


def _level(lean_deg: float | None) -> str:
    if lean_deg is None:
        return "cannot tell: too few upright lines"
    if abs(lean_deg) < LEVEL_DEG:
        return "good: upright lines stand upright"
    side, turn = ("right", "clockwise") if lean_deg > 0 else ("left", "counter-clockwise")
    return (
        f"upright lines lean {abs(lean_deg):.1f} degrees to the {side}: turn the camera {turn}, "
        "seen from behind it"
    )


def _glass(found: lens_aim.LensAim) -> str:
    if found.hazy:
        return "hazy, as through fog or dirt: wipe the glass"
    if found.soft_spots:
        return f"no detail at {', '.join(found.soft_spots)}: sky, wall, or dirt on the glass"
    return "clear"


def _focus(terminal: Terminal, eye: CameraPreview) -> None:
    terminal.print("Turn the lens slowly. q ends, r forgets the best, p shows a picture.")
    best, missed = 0.0, 0
    while True:
        view = eye.look(LOOK_S)
        if view is None:
            missed += 1
            terminal.overwrite_line(f"no picture for {missed * LOOK_S:.0f} s")
        elif view.aim.focus is None:
            terminal.overwrite_line("focus  --- nothing in the middle to focus on")
        else:
            focus, best = view.aim.focus, max(best, view.aim.focus)
            said = "best" if focus >= best * 0.98 else f"{1 - focus / best:.0%} below"
            terminal.overwrite_line(
                f"focus {focus:5.1f} [{lens_aim.bar(focus, best)}] best {best:.1f}: {said}"
            )
        terminal.flush_line()
        key = terminal.key(EVERY_S)
        if key in _LEAVE:
            terminal.print()
            return
        if key == "r":
            best = 0.0
        if key == "p" and view is not None:
            terminal.print()
            terminal.new_page()
            _picture(terminal, view)


def _levelled(terminal: Terminal, eye: CameraPreview) -> None:
    terminal.print("Turn the camera slowly, and stop at 0. q ends.")
    while True:
        view = eye.look(LOOK_S)
        if view is None:
            terminal.overwrite_line(f"no picture for {LOOK_S:.0f} s")
        else:
            terminal.overwrite_line(f"level {_level_in_short(view.aim.lean_deg)}")
        terminal.flush_line()
        if terminal.key(EVERY_S) in _LEAVE:
            terminal.print()
            return


def _level_in_short(lean_deg: float | None) -> str:
    """On one line: which way, and how far."""
    if lean_deg is None:
        return "  --- too few upright lines: poles, walls, doors"
    cells = ["."] * (2 * LEVEL_CELLS + 1)
    cells[LEVEL_CELLS] = "0"
    at = LEVEL_CELLS + round(max(-1.0, min(1.0, lean_deg / LEVEL_MOST_DEG)) * LEVEL_CELLS)
    cells[at] = "#"
    turn = "good"
    if abs(lean_deg) >= LEVEL_DEG:
        turn = "turn it clockwise" if lean_deg > 0 else "turn it counter-clockwise"
    return f"{lean_deg:5.1f} [{''.join(cells)}] {turn}"


def _live(terminal: Terminal, eye: CameraPreview) -> None:
    terminal.print("q ends.")
    while True:
        view = eye.look(LOOK_S)
        terminal.new_page()
        if view is None:
            terminal.print(f"no picture for {LOOK_S:.0f} s")
        else:
            _picture(terminal, view)
            focus = "---" if view.aim.focus is None else f"{view.aim.focus:.1f}"
            terminal.print(
                f"focus {focus}, light {view.aim.exposure}, level {_level(view.aim.lean_deg)}"
            )
        terminal.flush_line()
        if terminal.key(LIVE_EVERY_S) in _LEAVE:
            return
