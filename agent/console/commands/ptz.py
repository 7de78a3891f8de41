"""`ptz`: turn a head with the keys, through the running agent, which keeps its rules."""

from collections.abc import Mapping, Sequence

import msgspec

from agent.base.errors import UserError
from agent.console.agent_client import run_agent_command
from agent.console.arguments import choose_arg
from agent.console.errors import ConsoleError
from agent.console.results import Box
from agent.console.terminal import Terminal

NAME = "ptz"
HELP = "turn a head with the keys, or send it to a preset"
USAGE = (
    "ptz [HEAD]               turn it with the keys",
    "ptz [HEAD] status        where it looks, and who has it",
    "ptz [HEAD] presets       the places that it remembers",
    "ptz [HEAD] goto PRESET   go there",
    "ptz [HEAD] stop          stop at once",
)

JOG_S = 0.5
_JOG_KEYS: Mapping[str, tuple[str, float]] = {
    "left": ("pan", -1.0),
    "right": ("pan", 1.0),
    "up": ("tilt", 1.0),
    "down": ("tilt", -1.0),
    "a": ("pan", -1.0),
    "d": ("pan", 1.0),
    "w": ("tilt", 1.0),
    "s": ("tilt", -1.0),
    "+": ("zoom", 1.0),
    "-": ("zoom", -1.0),
    "f": ("focus", 1.0),
    "n": ("focus", -1.0),
}
_SUBCOMMANDS = ("status", "presets", "goto", "stop")
_HELP = (
    "Arrows or w a s d turn, + - zoom, f n focus far and near, 1 to 9 speed,",
    "space stops, ? tells where it looks, q ends.",
)


class _Position(msgspec.Struct, frozen=True):
    pan_deg: float
    tilt_deg: float
    zoom: float
    error_deg: float


class _Lease(msgspec.Struct, frozen=True):
    by: str
    role: str


class _HeadStatus(msgspec.Struct, frozen=True):
    name: str
    position: _Position | None
    moving: bool
    preset: str | None
    tour: str | None
    lease: _Lease | None
    error: str | None


class _PresetInfo(msgspec.Struct, frozen=True):
    name: str
    stored_by: str


class _PtzResult(msgspec.Struct, frozen=True):
    heads: tuple[_HeadStatus, ...] = ()
    presets: tuple[_PresetInfo, ...] = ()


_RESULT_DECODER = msgspec.json.Decoder(_PtzResult)


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Turn it, or tell."""
    heads = () if box.config is None else tuple(head.name for head in box.config.head)
    head_name = argv[0] if argv and argv[0] not in _SUBCOMMANDS else None
    rest = argv[1:] if head_name is not None else argv
    head = choose_arg("head", head_name, heads)
    if not rest:
        _jog(terminal, box, head)
    elif list(rest) == ["status"]:
        terminal.print(_format_status(_send(box, {"do": "status", "head": head})))
    elif list(rest) == ["stop"]:
        _send(box, {"do": "stop", "head": head})
        terminal.print(f"{head} is stopped.")
    elif list(rest) == ["presets"]:
        presets = _send(box, {"do": "presets", "head": head}).presets
        terminal.table([(preset.name, f"stored by {preset.stored_by}") for preset in presets])
        if not presets:
            terminal.print("No presets yet.")
    elif len(rest) == 2 and rest[0] == "goto":  # noqa: PLR2004 - goto PRESET
        _send(box, {"do": "goto_preset", "head": head, "preset": rest[1]})
        terminal.print(f"{head} goes to {rest[1]}.")
    else:
        raise UserError(f"ptz {' '.join(argv)}: allowed: {'; '.join(USAGE)}")


def _jog(terminal: Terminal, box: Box, head: str) -> None:
    terminal.print(_format_status(_send(box, {"do": "status", "head": head})), *_HELP)
    speed = 3
    try:
        while True:
            key = terminal.read_key(1.0)
            if key in ("q", "Q", "cancel", "end", "enter"):
                return
            try:
                if key is not None and key in "123456789":
                    speed = int(key)
                    terminal.overwrite_line(f"speed {speed} of 9")
                elif key is not None and key in _JOG_KEYS:
                    axis, sign = _JOG_KEYS[key]
                    velocity = {axis: sign * speed / 9, "for_s": JOG_S}
                    _send(box, {"do": "move", "head": head, **velocity})
                    terminal.overwrite_line(f"{axis} {sign * speed / 9:+.1f}")
                elif key == " ":
                    _send(box, {"do": "stop", "head": head})
                    terminal.overwrite_line("stopped")
                elif key == "?":
                    terminal.overwrite_line(
                        _format_status(_send(box, {"do": "status", "head": head}))
                    )
            except ConsoleError as error:
                terminal.overwrite_line(str(error))
    finally:
        # Whatever ended it: a head that is turned by hand does not go on by itself.
        _send(box, {"do": "stop", "head": head})
        terminal.print("", f"{head} is stopped.")


def _send(box: Box, args: Mapping[str, object]) -> _PtzResult:
    try:
        return _RESULT_DECODER.decode(run_agent_command(box, "ptz", args))
    except msgspec.MsgspecError as error:
        raise ConsoleError(f"the agent's answer is not understood: {error}") from error


def _format_status(result: _PtzResult) -> str:
    if not result.heads:
        return "nothing is known of it"
    head = result.heads[0]
    parts = [f"{head.name}: does not say where it looks"]
    if head.position is not None:
        position = head.position
        parts = [
            f"{head.name}: pan {position.pan_deg:.1f} tilt {position.tilt_deg:.1f} zoom {position.zoom:.2f}"
        ]
    parts += [
        "moves" if head.moving else "",
        f"at {head.preset}" if head.preset else "",
        f"tour {head.tour}" if head.tour else "",
        f"{head.lease.by} ({head.lease.role}) has it" if head.lease else "",
        head.error or "",
    ]
    return ", ".join(part for part in parts if part)
