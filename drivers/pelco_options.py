"""The options of a Pelco head that `pelco_d` and `pelco_p` share."""

from typing import Annotated, Literal

import msgspec

from drivers.contracts import Aux, Range
from drivers.ptz_checks import check_ranges
from drivers.serial_port import SerialSettings

SpeedDegS = Annotated[float, msgspec.Meta(gt=0, le=720)]


class ReferencePreset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A preset of the head whose position was measured: there the estimate is exact again."""

    preset: Annotated[int, msgspec.Meta(ge=1, le=255)]
    pan_deg: Annotated[float, msgspec.Meta(ge=-360, le=360)]
    tilt_deg: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    zoom: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


class PelcoOptions(SerialSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The properties of a Pelco head. The head cannot be queried for them, so none is guessed.

    `pan_deg` is left out if it turns without end. The top speeds are those at 3F, the fastest
    without turbo. `aux` gives the wiper, the heater or the lamp its auxiliary number.

    `position = "query"`: the head reports its position, and takes positions. Its tilt counts up
    from the horizon downwards, or upwards with `tilt_direction`; its zoom is a number of its own,
    `zoom_counts` from wide to tele. Otherwise the driver estimates the position: with
    `zoom_travel_s` from wide to tele, `preset_deg_s`, the lowest speed on the way to a preset,
    `speed_error`, the share by which its speeds may be wrong, `lag_s` from a frame to the motion,
    and the `reference_presets`.
    """

    address: Annotated[int, msgspec.Meta(ge=1, le=255)] = 1
    pan_deg: Range | None = None
    tilt_deg: Range
    pan_max_deg_s: SpeedDegS
    tilt_max_deg_s: SpeedDegS
    zoom_ratio: Annotated[float, msgspec.Meta(ge=1, le=100)] = 1.0
    focus: bool = False
    presets: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    aux: dict[Aux, Annotated[int, msgspec.Meta(ge=1, le=255)]] = msgspec.field(default_factory=dict)
    position: Literal["estimated", "query"] = "estimated"
    tilt_direction: Literal["down", "up"] = "down"
    zoom_counts: Range | None = None
    zoom_travel_s: Annotated[float, msgspec.Meta(gt=0, le=120)] | None = None
    preset_deg_s: SpeedDegS | None = None
    speed_error: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    lag_s: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.3
    reference_presets: tuple[ReferencePreset, ...] = ()
    reply_timeout_s: Annotated[float, msgspec.Meta(ge=0.02, le=0.5)] = 0.3
    turnaround_s: Annotated[float, msgspec.Meta(ge=0, le=0.1)] = 0.01

    def __post_init__(self) -> None:
        """Refuse options that contradict each other, and missing ones."""
        super().__post_init__()
        check_ranges(self, "pan_deg", "tilt_deg", "zoom_counts")
        is_queried = self.position == "query"
        if self.zoom_ratio > 1 and is_queried and self.zoom_counts is None:
            raise ValueError("zoom_counts is missing: what the head reports at wide and at tele")
        if self.zoom_ratio > 1 and not is_queried and self.zoom_travel_s is None:
            raise ValueError("zoom_travel_s is missing: the seconds from wide to tele")
        if self.presets and not is_queried and self.preset_deg_s is None:
            raise ValueError("preset_deg_s is missing: how fast it goes to a preset at least")
        if any(reference.preset > self.presets for reference in self.reference_presets):
            raise ValueError(f"reference_presets: preset is above presets = {self.presets}")
