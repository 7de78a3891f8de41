"""Frames from published documents and programs, byte by byte. Each table names its source."""

import pytest

from drivers.pelco_codec import (
    STOP_MOTION,
    TURBO_SPEED,
    AddressedMessage,
    AuxSwitch,
    PelcoDialect,
    PelcoMessage,
    PelcoMotion,
    PositionCommand,
    PositionQuery,
    PositionReport,
    PresetAction,
    encode_frame,
    parse_frame,
)

# sdivcom-dotcom/python-pelco-lib, tests/test_commands.py; the same left, right, up, down and stop in
# RogerHardiman/node-ptz-decoder, test/test.js.
MOTIONS_D = {
    "FF 01 00 00 00 00 01": STOP_MOTION,
    "FF 01 00 04 20 00 25": PelcoMotion(pan=-32),
    "FF 01 00 02 20 00 23": PelcoMotion(pan=32),
    "FF 01 00 08 00 20 29": PelcoMotion(tilt=32),
    "FF 01 00 10 00 20 31": PelcoMotion(tilt=-32),
    "FF 01 00 0C 20 0A 37": PelcoMotion(pan=-32, tilt=10),
    "FF 01 00 0A 20 0A 35": PelcoMotion(pan=32, tilt=10),
    "FF 01 00 14 20 0A 3F": PelcoMotion(pan=-32, tilt=-10),
    "FF 01 00 12 20 0A 3D": PelcoMotion(pan=32, tilt=-10),
    "FF 01 00 20 00 00 21": PelcoMotion(zoom=1),
    "FF 01 00 40 00 00 41": PelcoMotion(zoom=-1),
    "FF 01 00 80 00 00 81": PelcoMotion(focus=1),
    "FF 01 01 00 00 00 02": PelcoMotion(focus=-1),
    # Scoup/node-pelcod, test/pelcodSpec.js.
    "FF 01 00 08 00 3F 48": PelcoMotion(tilt=63),
    # Manual of the OXIC XPM9A261A, appendix 3.
    "FF 01 00 04 23 00 28": PelcoMotion(pan=-35),
    "FF 01 00 08 00 23 2C": PelcoMotion(tilt=35),
    "FF 01 00 10 00 23 34": PelcoMotion(tilt=-35),
}

# RogerHardiman/node-ptz-decoder, test/test.js.
SWITCHES_D = {
    "FF 01 00 03 00 01 05": PresetAction(action="set", number=1),
    "FF 01 00 05 00 01 07": PresetAction(action="clear", number=1),
    "FF 01 00 07 00 01 09": PresetAction(action="call", number=1),
    "FF 01 00 09 00 05 0F": AuxSwitch(number=5, on=True),
    "FF 01 00 0B 00 05 11": AuxSwitch(number=5, on=False),
}

# Public unit tests of Go programs for pan-tilt heads, the reports as observed from a unit; 300 and 90
# degrees also in the tables of CommFront's tutorial.
PLACES_D = {
    "FF 01 00 51 00 00 52": PositionQuery(axis="pan"),
    "FF 01 00 53 00 00 54": PositionQuery(axis="tilt"),
    "FF 01 00 55 00 00 56": PositionQuery(axis="zoom"),
    "FF 01 00 59 00 00 5A": PositionReport(axis="pan", value=0),
    "FF 01 00 59 23 28 A5": PositionReport(axis="pan", value=9000),
    "FF 01 00 59 75 2F FE": PositionReport(axis="pan", value=29999),
    "FF 01 00 5B 00 00 5C": PositionReport(axis="tilt", value=0),
    "FF 01 00 5B 11 8C F9": PositionReport(axis="tilt", value=4492),
    "FF 01 00 5B 23 28 A7": PositionReport(axis="tilt", value=9000),
    "FF 01 00 4B 00 00 4C": PositionCommand(axis="pan", value=0),
    "FF 01 00 4B 23 28 97": PositionCommand(axis="pan", value=9000),
    "FF 01 00 4B 30 39 B5": PositionCommand(axis="pan", value=12345),
    "FF 01 00 4B 75 30 F1": PositionCommand(axis="pan", value=30000),
    "FF 01 00 4B 8C 3C 14": PositionCommand(axis="pan", value=35900),
    "FF 01 00 4B 8C A0 78": PositionCommand(axis="pan", value=36000),
    "FF 01 00 4D 11 94 F3": PositionCommand(axis="tilt", value=4500),
    "FF 01 00 4D 23 28 99": PositionCommand(axis="tilt", value=9000),
    "FF 01 00 4D 8C A0 7A": PositionCommand(axis="tilt", value=36000),
}

# RogerHardiman/node-ptz-decoder, test/test.js; zoom, preset and focus by the tables of Active Silicon's
# Harrier manual (page 30): 20 tele, 07 call, command1 01 far and 02 near, exclusive or over 1 to 7.
AT_BYTE_0_P = {
    "A0 00 00 00 00 00 AF 0F": STOP_MOTION,
    "A0 00 00 04 20 00 AF 2B": PelcoMotion(pan=-32),
    "A0 00 00 02 20 00 AF 2D": PelcoMotion(pan=32),
    "A0 00 00 08 00 20 AF 27": PelcoMotion(tilt=32),
    "A0 00 00 10 00 20 AF 3F": PelcoMotion(tilt=-32),
    "A0 00 00 20 00 00 AF 2F": PelcoMotion(zoom=1),
    "A0 00 00 40 00 00 AF 4F": PelcoMotion(zoom=-1),
    "A0 00 01 00 00 00 AF 0E": PelcoMotion(focus=1),
    "A0 00 02 00 00 00 AF 0D": PelcoMotion(focus=-1),
    "A0 00 00 07 00 01 AF 09": PresetAction(action="call", number=1),
}

# sdivcom-dotcom/python-pelco-lib, tests/test_commands.py, which takes the address as it is.
AT_BYTE_1_P = {
    "A0 01 00 00 00 00 AF 0E": STOP_MOTION,
    "A0 01 00 04 20 00 AF 2A": PelcoMotion(pan=-32),
    "A0 01 00 08 00 20 AF 26": PelcoMotion(tilt=32),
    "A0 01 00 20 00 00 AF 2E": PelcoMotion(zoom=1),
}

# fparat/pelcodrs, tests/test_message.rs.
OTHER_ADDRESSES_D = {
    "FF 02 00 04 20 00 26": (2, PelcoMotion(pan=-32)),
    "FF 02 00 00 00 00 02": (2, STOP_MOTION),
    "FF 0C 00 05 00 0F 20": (12, PresetAction(action="clear", number=15)),
    "FF FF 00 07 00 FF 05": (255, PresetAction(action="call", number=255)),
    # Scoup/node-pelcod, test/pelcodSpec.js.
    "FF F0 00 08 00 3F 37": (240, PelcoMotion(tilt=63)),
}

ALL: list[tuple[PelcoDialect, int, str, PelcoMessage]] = [
    *[("D", 1, frame, what) for frame, what in (MOTIONS_D | SWITCHES_D | PLACES_D).items()],  # type: ignore[operator]
    *[("D", address, frame, what) for frame, (address, what) in OTHER_ADDRESSES_D.items()],
    *[("P", 0, frame, what) for frame, what in AT_BYTE_0_P.items()],
    *[("P", 1, frame, what) for frame, what in AT_BYTE_1_P.items()],
]


@pytest.mark.parametrize(("dialect", "address", "frame", "message"), ALL, ids=str)
def test_a_documented_frame_is_encoded_and_decoded(
    dialect: PelcoDialect, address: int, frame: str, message: PelcoMessage
) -> None:
    telegram = AddressedMessage(address=address, message=message)
    assert encode_frame(dialect, telegram).hex(" ").upper() == frame
    assert parse_frame(dialect, bytes.fromhex(frame)) == telegram


@pytest.mark.parametrize(
    ("dialect", "frame", "message"),
    [
        # Pelco's TF-0002, page 18: a stop may keep the speed.
        ("D", "FF 02 00 00 20 00 22", STOP_MOTION),
        # CommFront's example of a tilt has its speed where pan's is; the sum is the same.
        ("D", "FF 01 00 10 20 00 31", STOP_MOTION),
        # Turbo is FF for D in fparat/pelcodrs, 40 in the OXIC's manual, 40 for P in C466M-E.
        ("D", "FF 01 00 02 FF 00 02", PelcoMotion(pan=TURBO_SPEED)),
        ("D", "FF 01 00 02 40 00 43", PelcoMotion(pan=TURBO_SPEED)),
        ("P", "A0 00 00 04 40 00 AF 4B", PelcoMotion(pan=-TURBO_SPEED)),
    ],
)
def test_documented_frames_that_the_driver_never_sends_are_decoded(
    dialect: PelcoDialect, frame: str, message: PelcoMessage
) -> None:
    parsed = parse_frame(dialect, bytes.fromhex(frame))
    assert parsed is not None
    assert parsed.message == message


@pytest.mark.parametrize(
    ("dialect", "frame"),
    [
        # RogerHardiman/node-ptz-decoder, test/test.js: a wrong sum, an unknown command, all ways at once.
        ("D", "FF 42 42 42 42 42 42"),
        ("D", "FF 01 00 01 00 01 03"),
        ("D", "FF 01 FF FE 00 01 FF"),
        ("P", "A0 00 00 00 FF 00 AF 0F"),
        # Iris, and camera with far and down (TF-0002, page 18): the driver never sends it.
        ("D", "FF 01 02 00 00 00 03"),
        ("D", "FF 01 04 00 00 00 05"),
        ("D", "FF 0A 88 90 00 20 42"),
        # A blog's sum over bytes 2 to 6 alone, which the makers' manuals contradict.
        ("P", "A0 00 00 04 20 00 AF 24"),
        # fparat/pelcodrs refuses preset 0.
        ("D", "FF 01 00 07 00 00 08"),
        ("D", "FF 01 00 03 00 00 04"),
        # Left and right, up and down, tele and wide; speeds and angles that there are not; with sums.
        ("D", "FF 01 00 06 20 00 27"),
        ("D", "FF 01 00 18 00 20 39"),
        ("D", "FF 01 00 60 00 00 61"),
        ("D", "FF 01 00 08 00 40 49"),
        ("D", "FF 01 00 02 41 00 44"),
        ("D", "FF 01 00 59 8C A1 87"),
        ("D", "FF 01 00 51 00 01 53"),
        ("D", "FF 01 20 02 20 00 43"),
        ("P", "A0 00 80 02 20 00 AF AD"),
    ],
)
def test_an_invalid_frame_is_refused(dialect: PelcoDialect, frame: str) -> None:
    assert parse_frame(dialect, bytes.fromhex(frame)) is None
