"""Codec of Pelco-D and Pelco-P: messages to frames, and bytes to messages. Pure.

A frame of D is `FF address command1 command2 data1 data2 sum`, the sum of the five between, modulo
256. A frame of P is `A0 address command1 command2 data1 data2 AF xor`, the exclusive or of the
seven before it. Sources: Pelco's TF-0002 (2003) and C466M-E (1999) for D, C466M-E and the manuals of
AVer and Active Silicon for P; the queries and answers from the makers' manuals that list them (BenQ
DVY23, MinRay UV950A, Hameco HV-55), where they are the same in both.

Eight bits of checksum find every single flipped bit, and of all else one in 256 passes. Two flips
pass if they hit the same bit of two bytes (in D: in opposite directions). So a frame must also be
valid: unused bits are zero, no axis moves both ways, speeds, numbers and angles are in their ranges.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

PelcoAxis = Literal["pan", "tilt", "zoom"]
PelcoDialect = Literal["D", "P"]

TOP_SPEED = 0x3F
TURBO_SPEED = TOP_SPEED + 1
"""Faster than the top speed, for pan alone; heads differ in its meaning."""
FULL_CIRCLE = 36000
"""Hundredths of a degree; some heads report it in place of 0."""

SYNC_D, SIZE_D, TURBO_D = 0xFF, 7, 0xFF
SYNC_P, SIZE_P, TURBO_P, END_P = 0xA0, 8, 0x40, 0xAF
GENERAL_REPLY_D_BYTES = 4
"""`FF address alarms sum`: the answer of some heads to every command (C466M-E, 5.2.4)."""
GENERAL_REPLY_P = 0xA2
"""The answer of some heads to every command (C466M-E, 5.3.5)."""

EXTENDED = 0x01
RIGHT, LEFT, UP, DOWN, TELE, WIDE = 0x02, 0x04, 0x08, 0x10, 0x20, 0x40


class PelcoMotion(msgspec.Struct, frozen=True, kw_only=True):
    """Move like this until the next motion; all zeros is a stop.

    `pan` (right) and `tilt` (up) are speeds from -63 to 63, and 64 is turbo for pan; `zoom` (tele)
    and `focus` (far) are -1, 0 or 1.
    """

    pan: int = 0
    tilt: int = 0
    zoom: int = 0
    focus: int = 0


STOP_MOTION = PelcoMotion()


class PresetAction(msgspec.Struct, frozen=True, kw_only=True):
    """Store, delete or go to a preset, 1 to 255."""

    action: Literal["set", "clear", "call"]
    number: int


class AuxSwitch(msgspec.Struct, frozen=True, kw_only=True):
    """Switch an auxiliary output, 1 to 255."""

    number: int
    on: bool


class PositionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Query the position of an axis."""

    axis: PelcoAxis


class PositionReport(msgspec.Struct, frozen=True, kw_only=True):
    """The position of an axis: hundredths of a degree; for zoom a number of the head's own."""

    axis: PelcoAxis
    value: int


class PositionCommand(msgspec.Struct, frozen=True, kw_only=True):
    """Send an axis to a position; the value as in a report."""

    axis: PelcoAxis
    value: int


PelcoMessage: TypeAlias = (
    PelcoMotion | PresetAction | AuxSwitch | PositionQuery | PositionReport | PositionCommand
)


class AddressedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message, and the address byte of the head that it is for, or from."""

    address: int
    message: PelcoMessage


_PRESETS: Mapping[str, int] = {"set": 0x03, "clear": 0x05, "call": 0x07}
_AUX_ON, _AUX_OFF = 0x09, 0x0B
_POSITION_COMMANDS: Mapping[PelcoAxis, int] = {"pan": 0x4B, "tilt": 0x4D, "zoom": 0x4F}
_POSITION_QUERIES: Mapping[PelcoAxis, int] = {"pan": 0x51, "tilt": 0x53, "zoom": 0x55}
_POSITION_REPORTS: Mapping[PelcoAxis, int] = {"pan": 0x59, "tilt": 0x5B, "zoom": 0x5D}

_PRESET_ACTION_BY_CODE = {code: action for action, code in _PRESETS.items()}
_COMMAND_AXIS_BY_CODE = {code: axis for axis, code in _POSITION_COMMANDS.items()}
_QUERY_AXIS_BY_CODE = {code: axis for axis, code in _POSITION_QUERIES.items()}
_REPORT_AXIS_BY_CODE = {code: axis for axis, code in _POSITION_REPORTS.items()}


def encode_frame(dialect: PelcoDialect, addressed: AddressedMessage) -> bytes:
    """Encode a frame. Raises: ValueError if a value fits in no byte, or tilt is turbo."""
    command1, command2, data1, data2 = _command_fields(dialect, addressed.message)
    if dialect == "D":
        body = bytes((addressed.address, command1, command2, data1, data2))
        return bytes((SYNC_D, *body, sum(body) & 0xFF))
    body_p = bytes((SYNC_P, addressed.address, command1, command2, data1, data2, END_P))
    return bytes((*body_p, _xor(body_p)))


def parse_frame(dialect: PelcoDialect, frame: bytes) -> AddressedMessage | None:
    """Parse one frame; return None if its checksum is wrong or it is not valid."""
    if dialect == "D":
        if len(frame) != SIZE_D or frame[0] != SYNC_D or sum(frame[1:6]) & 0xFF != frame[6]:
            return None
    elif len(frame) != SIZE_P or frame[0] != SYNC_P or frame[6] != END_P or _xor(frame):
        return None
    if frame[3] & EXTENDED:
        message = _parse_extended(frame)
    else:
        message = _parse_motion_d(frame) if dialect == "D" else _parse_motion_p(frame)
    return None if message is None else AddressedMessage(address=frame[1], message=message)


class PelcoDecoder:
    """Finds the messages in a stream of bytes, which may be split and noisy.

    It keeps less than one frame. After noise the first whole frame is found, unless the noise itself
    passes for a frame that reaches into it; then the second is.

    With `replies_from`, the address byte of a head, its answers to commands, which have no content,
    are not counted as noise.
    """

    def __init__(self, dialect: PelcoDialect, *, replies_from: int | None = None) -> None:
        self._dialect = dialect
        self._sync, self._size = (SYNC_D, SIZE_D) if dialect == "D" else (SYNC_P, SIZE_P)
        self._replies_from = replies_from
        self._buffer = bytearray()
        self.noise_bytes = 0

    def feed(self, data: bytes) -> list[AddressedMessage]:
        """Return the messages that are complete with these bytes, of all addresses."""
        buffer, found = self._buffer, []
        buffer += data
        at = 0
        while True:
            start = buffer.find(self._sync, at)
            if start < 0:
                self._count_noise(at, len(buffer))
                at = len(buffer)
                break
            self._count_noise(at, start)
            at = start
            if len(buffer) - at < self._size:
                break
            addressed = parse_frame(self._dialect, bytes(buffer[at : at + self._size]))
            if addressed is not None:
                found.append(addressed)
                at += self._size
            elif self._is_general_reply(at):
                at += GENERAL_REPLY_D_BYTES
            else:
                self._count_noise(at, at + 1)
                at += 1
        del buffer[:at]
        return found

    def flush(self) -> None:
        """Drop an incomplete frame, because the line has been silent.

        Otherwise later bytes could complete it, and the two would make a frame that was never sent.
        """
        at = 0
        if self._is_general_reply(0):
            at = GENERAL_REPLY_D_BYTES
        self._count_noise(at, len(self._buffer))
        self._buffer.clear()

    def _count_noise(self, begin: int, end: int) -> None:
        self.noise_bytes += end - begin
        if self._dialect == "P" and self._replies_from is not None:
            self.noise_bytes -= self._buffer.count(GENERAL_REPLY_P, begin, end)

    def _is_general_reply(self, at: int) -> bool:
        body = self._buffer[at + 1 : at + GENERAL_REPLY_D_BYTES]
        return (
            self._dialect == "D"
            and self._replies_from is not None
            and len(body) == GENERAL_REPLY_D_BYTES - 1
            and body[0] == self._replies_from
            and SYNC_D not in body
        )


def _command_fields(dialect: PelcoDialect, message: PelcoMessage) -> tuple[int, int, int, int]:
    """Return the two commands and the two data bytes."""
    match message:
        case PelcoMotion():
            return _motion_fields(dialect, message)
        case PresetAction():
            return 0, _PRESETS[message.action], 0, message.number
        case AuxSwitch():
            return 0, _AUX_ON if message.on else _AUX_OFF, 0, message.number
        case PositionQuery():
            return 0, _POSITION_QUERIES[message.axis], 0, 0
        case PositionReport():
            return 0, _POSITION_REPORTS[message.axis], *divmod(message.value, 256)
        case PositionCommand():
            return 0, _POSITION_COMMANDS[message.axis], *divmod(message.value, 256)


def _motion_fields(dialect: PelcoDialect, motion: PelcoMotion) -> tuple[int, int, int, int]:
    pan, tilt = abs(motion.pan), abs(motion.tilt)
    if pan > TURBO_SPEED or tilt > TOP_SPEED:
        raise ValueError(f"{motion}: pan is at most {TURBO_SPEED}, tilt at most {TOP_SPEED}")
    if pan == TURBO_SPEED:
        pan = TURBO_D if dialect == "D" else TURBO_P
    command2 = _direction_bit(motion.pan, RIGHT, LEFT) | _direction_bit(motion.tilt, UP, DOWN)
    command2 |= _direction_bit(motion.zoom, TELE, WIDE)
    if dialect == "D":
        near = 0x01 if motion.focus < 0 else 0
        return near, command2 | (0x80 if motion.focus > 0 else 0), pan, tilt
    return _direction_bit(motion.focus, 0x01, 0x02), command2, pan, tilt


def _direction_bit(value: int, positive: int, negative: int) -> int:
    return positive if value > 0 else negative if value < 0 else 0


def _parse_motion_d(frame: bytes) -> PelcoMotion | None:
    """Parse a motion of D, of which only focus is used in `command1`.

    That is sense, 0, 0, scan, camera, iris close, iris open, focus near, from bit 7 on.
    """
    far, near = frame[3] & 0x80, frame[2]
    if near not in (0, 0x01) or (far and near):
        return None
    return _parse_motion(frame, 1 if far else -near, TURBO_D)


def _parse_motion_p(frame: bytes) -> PelcoMotion | None:
    """Parse a motion of P.

    `command1` is 0, camera on, scan, camera, iris close, iris open, focus near, focus far.
    """
    focus = {0: 0, 0x01: 1, 0x02: -1}.get(frame[2])
    if focus is None or frame[3] & 0x80:
        return None
    return _parse_motion(frame, focus, TURBO_P)


def _parse_motion(frame: bytes, focus: int, turbo: int) -> PelcoMotion | None:
    command2, pan, tilt = frame[3], frame[4], frame[5]
    opposites = ((RIGHT | LEFT), (UP | DOWN), (TELE | WIDE))
    if any(command2 & pair == pair for pair in opposites):
        return None
    if (pan > TOP_SPEED and pan not in (turbo, TURBO_P)) or tilt > TOP_SPEED:
        return None
    return PelcoMotion(
        pan=_signed_speed(min(pan, TURBO_SPEED), command2, RIGHT, LEFT),
        tilt=_signed_speed(tilt, command2, UP, DOWN),
        zoom=_signed_speed(1, command2, TELE, WIDE),
        focus=focus,
    )


def _signed_speed(speed: int, command2: int, positive: int, negative: int) -> int:
    return speed if command2 & positive else -speed if command2 & negative else 0


def _parse_extended(frame: bytes) -> PelcoMessage | None:
    code, data1, data2 = frame[3], frame[4], frame[5]
    value = data1 * 256 + data2
    numbered = data1 == 0 and data2 > 0
    message: PelcoMessage | None = None
    if frame[2]:
        return None
    if numbered and code in _PRESET_ACTION_BY_CODE:
        message = PresetAction(action=_preset_action(code), number=data2)
    elif numbered and code in (_AUX_ON, _AUX_OFF):
        message = AuxSwitch(number=data2, on=code == _AUX_ON)
    elif value == 0 and code in _QUERY_AXIS_BY_CODE:
        message = PositionQuery(axis=_QUERY_AXIS_BY_CODE[code])
    elif code in _COMMAND_AXIS_BY_CODE and _is_valid_position(_COMMAND_AXIS_BY_CODE[code], value):
        message = PositionCommand(axis=_COMMAND_AXIS_BY_CODE[code], value=value)
    elif code in _REPORT_AXIS_BY_CODE and _is_valid_position(_REPORT_AXIS_BY_CODE[code], value):
        message = PositionReport(axis=_REPORT_AXIS_BY_CODE[code], value=value)
    return message


def _preset_action(code: int) -> Literal["set", "clear", "call"]:
    return "set" if code == _PRESETS["set"] else "clear" if code == _PRESETS["clear"] else "call"


def _is_valid_position(axis: PelcoAxis, value: int) -> bool:
    return axis == "zoom" or value <= FULL_CIRCLE


def _xor(data: bytes) -> int:
    """Return the exclusive or of all bytes: zero over a whole frame."""
    result = 0
    for byte in data:
        result ^= byte
    return result
