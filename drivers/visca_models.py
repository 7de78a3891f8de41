"""Models of VISCA cameras, from their makers' manuals.

A number that is in no manual at hand is None, and has to be declared in the configuration.
"""

from typing import Literal, get_args

import msgspec

from drivers.contracts import Range

ModelName = Literal["evi_d30", "evi_d70", "evi_d80", "ptzoptics"]
MODEL_NAMES: tuple[ModelName, ...] = get_args(ModelName)

PAN_STEPS, TILT_STEPS = 0x18, 0x14
"""The number of speeds that VISCA has for pan and for tilt."""


class ViscaModel(msgspec.Struct, frozen=True, kw_only=True):
    """The known properties of a model.

    Positions count units from the middle, to the right and upwards. The speeds are those of steps
    1, 2, 3 and so on, in degrees a second. Zoom counts from 0 to `zoom_tele`.
    """

    pan_deg: Range | None = None
    tilt_deg: Range | None = None
    pan_units_per_deg: float | None = None
    tilt_units_per_deg: float | None = None
    pan_speeds_deg_s: tuple[float, ...] | None = None
    tilt_speeds_deg_s: tuple[float, ...] | None = None
    zoom_ratio: float | None = None
    zoom_tele: int | None = None
    presets: int | None = None


MODELS: dict[ModelName, ViscaModel] = {
    # Sony EVI-D70 technical manual, pages 54 and 58, and EVI-D100, page 44, which both describe how
    # they imitate an EVI-D30: pan FC90h to 0370h is -100 to 100 degrees, tilt FED4h to 012Ch is -25
    # to 25, zoom 0000h to 03FFh, pan 3.3 to 80 and tilt 2.5 to 50 degrees a second in equal steps.
    "evi_d30": ViscaModel(
        pan_deg=Range(low=-100, high=100),
        tilt_deg=Range(low=-25, high=25),
        pan_units_per_deg=880 / 100,
        tilt_units_per_deg=300 / 25,
        pan_speeds_deg_s=tuple(80 * step / PAN_STEPS for step in range(1, PAN_STEPS + 1)),
        tilt_speeds_deg_s=tuple(50 * step / TILT_STEPS for step in range(1, TILT_STEPS + 1)),
        zoom_tele=0x03FF,
    ),
    # Sony EVI-D80/D90 technical manual, page 46: pan F725h to 08DBh is -170 to 170 degrees, tilt
    # FE70h to 04B0h is -30 to 90. EVI-D70 technical manual, pages 3 and 54: 18x optical zoom up to
    # 4000h, six places.
    "evi_d70": ViscaModel(
        pan_deg=Range(low=-170, high=170),
        tilt_deg=Range(low=-30, high=90),
        pan_units_per_deg=0x08DB / 170,
        tilt_units_per_deg=0x04B0 / 90,
        zoom_ratio=18,
        zoom_tele=0x4000,
        presets=6,
    ),
    # Sony EVI-D80/D90 technical manual, page 46: pan E1E5h to 1E1Bh is -170 to 170 degrees, tilt
    # FC75h to 0FF0h is -20 to 90.
    "evi_d80": ViscaModel(
        pan_deg=Range(low=-170, high=170),
        tilt_deg=Range(low=-20, high=90),
        pan_units_per_deg=0x1E1B / 170,
        tilt_units_per_deg=0x0FF0 / 90,
        zoom_tele=0x4000,
    ),
    # PTZOptics and the makers that sell the same camera; Telycam TLC-700 user manual, page 13, and
    # AIDA PTZ-NDI-X12, page 25: pan F670h to 0990h is -170 to 170 degrees, tilt FE50h to 0510h is
    # -30 to 90, and the table of speeds. Zoom up to 4000h. Places 90 to 99 are the menu's.
    "ptzoptics": ViscaModel(
        pan_deg=Range(low=-170, high=170),
        tilt_deg=Range(low=-30, high=90),
        pan_units_per_deg=0x0990 / 170,
        tilt_units_per_deg=0x0510 / 90,
        pan_speeds_deg_s=(
            *(1, 1.5, 2.2, 2.4, 2.6, 2.8, 3.0, 3.2, 3.4, 3.8, 4.5, 6),
            *(9, 15, 19, 25, 32, 38, 45, 58, 75, 88, 105, 120),
        ),
        tilt_speeds_deg_s=(
            *(1, 1.5, 2.2, 3.6, 4.7, 6, 8, 10, 12),
            *(15, 18, 23, 30, 39, 48, 59, 69, 80),
        ),
        zoom_tele=0x4000,
        presets=90,
    ),
}


def nearest_step(speed_deg_s: float, speeds_deg_s: tuple[float, ...]) -> int:
    """Return the step of the nearest speed, signed; any motion is at least one step."""
    if speed_deg_s == 0:
        return 0
    target_deg_s = abs(speed_deg_s)
    step = 1 + min(
        range(len(speeds_deg_s)), key=lambda index: abs(speeds_deg_s[index] - target_deg_s)
    )
    return step if speed_deg_s > 0 else -step


def equal_steps(max_speed_deg_s: float, steps: int) -> tuple[float, ...]:
    """Return the speeds of a camera of which only the fastest is known."""
    return tuple(max_speed_deg_s * step / steps for step in range(1, steps + 1))
