"""Options of a camera module."""

from typing import Annotated, Literal

import msgspec

EvenPixels = Annotated[int, msgspec.Meta(ge=64, le=4608, multiple_of=2)]
Fps = Annotated[float, msgspec.Meta(ge=0.1, le=240)]
Lux = Annotated[float, msgspec.Meta(ge=0, le=100_000)]
TimeOfDay = Annotated[
    str,
    msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$(?!\n)", extra={"allowed": "00:00 to 23:59"}),
]

NightMode = Literal["auto", "day", "night", "schedule"]
Encoding = Literal["auto", "hardware", "libav"]
WhiteBalance = Literal[
    "auto", "incandescent", "tungsten", "fluorescent", "indoor", "daylight", "cloudy"
]


class ColourGains(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Manual white balance: gains of red and blue over green."""

    red: Annotated[float, msgspec.Meta(ge=0, le=32)]
    blue: Annotated[float, msgspec.Meta(ge=0, le=32)]


class Night(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The night mode: when it applies, and its settings.

    `auto` follows the light that the camera measures: night below `lux_below`, day above `lux_above`,
    each after `dwell_s`. `schedule` follows the clock, from `from` to `to` each day. At night
    exposures may be as long as `min_fps` allows.
    """

    mode: NightMode = "day"
    lux_below: Lux = 5.0
    lux_above: Lux = 20.0
    dwell_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 60.0
    begin: TimeOfDay = msgspec.field(name="from", default="20:00")
    end: TimeOfDay = msgspec.field(name="to", default="06:00")
    clock: Literal["local", "utc"] = "local"
    saturation: Annotated[float, msgspec.Meta(ge=0, le=32)] = 0.0
    min_fps: Fps | None = None

    def __post_init__(self) -> None:
        """Check the fields against each other."""
        if self.lux_above <= self.lux_below:
            raise ValueError("lux_above has to be greater than lux_below, or day and night flicker")
        if self.begin == self.end:
            raise ValueError("from and to are the same: use mode = 'day' or 'night'")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`camera` is the number of the module, or its name in libcamera.

    A control that is None is left to the camera. A control that the camera does not have is left
    out and logged.
    """

    camera: (
        Annotated[int, msgspec.Meta(ge=0, le=7)] | Annotated[str, msgspec.Meta(min_length=1)]
    ) = 0
    width_px: EvenPixels = 1920
    height_px: EvenPixels = 1080
    fps: Fps = 15.0
    detect_width_px: EvenPixels = 640
    detect_height_px: EvenPixels = 360
    encoder: Encoding = "auto"
    bitrate_kbit_s: Annotated[int, msgspec.Meta(ge=64, le=25_000)] = 4000
    gop_s: Annotated[float, msgspec.Meta(ge=0.2, le=30)] = 2.0
    exposure_us: Annotated[int, msgspec.Meta(ge=1, le=200_000_000)] | None = None
    analogue_gain: Annotated[float, msgspec.Meta(ge=1, le=64)] | None = None
    exposure_value: Annotated[float, msgspec.Meta(ge=-8, le=8)] | None = None
    flicker_hz: Literal[50, 60] | None = None
    white_balance: WhiteBalance | ColourGains = "auto"
    focus: Literal["continuous"] | Annotated[float, msgspec.Meta(ge=0, le=32)] | None = None
    night: Night = Night()
    open_timeout_s: Annotated[float, msgspec.Meta(ge=1, le=20)] = 15.0
    read_timeout_s: Annotated[float, msgspec.Meta(ge=0.5, le=20)] = 5.0

    def __post_init__(self) -> None:
        """Check the fields against each other."""
        if self.detect_width_px > self.width_px or self.detect_height_px > self.height_px:
            raise ValueError("detect_width_px and detect_height_px are at most the main stream's")
        if self.night.min_fps is not None and self.night.min_fps > self.fps:
            raise ValueError("night.min_fps is at most fps")
