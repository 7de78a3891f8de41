"""The options of a VISCA camera, completed with the known properties of its model."""

from typing import Annotated

import msgspec

from drivers.contracts import PtzCapabilities, Range
from drivers.ptz_checks import check_ranges
from drivers.serial_port import SerialSettings
from drivers.visca_models import (
    MODEL_NAMES,
    MODELS,
    PAN_STEPS,
    TILT_STEPS,
    ModelName,
    ViscaModel,
    equal_steps,
)

UnitsPerDeg = Annotated[float, msgspec.Meta(gt=0, le=180)]
MaxSpeedDegS = Annotated[float, msgspec.Meta(gt=0, le=720)]


class ViscaSpecs(msgspec.Struct, frozen=True, kw_only=True):
    """All properties of a camera; see `drivers.visca_models.ViscaModel`."""

    pan_deg: Range
    tilt_deg: Range
    pan_units_per_deg: float
    tilt_units_per_deg: float
    pan_speeds_deg_s: tuple[float, ...]
    tilt_speeds_deg_s: tuple[float, ...]
    zoom_ratio: float
    zoom_tele: int
    presets: int
    focus: bool

    @property
    def capabilities(self) -> PtzCapabilities:
        """The capabilities of a head with these properties."""
        return PtzCapabilities(
            absolute=True,
            pan_deg=self.pan_deg,
            tilt_deg=self.tilt_deg,
            pan_max_deg_s=self.pan_speeds_deg_s[-1],
            tilt_max_deg_s=self.tilt_speeds_deg_s[-1],
            zoom_ratio=self.zoom_ratio,
            focus=self.focus,
            presets=self.presets,
        )


class Options(SerialSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a camera, which override the properties of its model.

    `address` is the camera's place in the chain. `pan_units_per_deg` and `tilt_units_per_deg` are
    the units of its position in a degree. `pan_max_deg_s` and `tilt_max_deg_s` are its fastest
    speeds; the steps below are taken to be equal. `zoom_tele` is its zoom position at tele. With
    `focus` the focus may be driven, which ends autofocus until the next goto or preset.
    """

    address: Annotated[int, msgspec.Meta(ge=1, le=7)] = 1
    model: ModelName | None = None
    pan_deg: Range | None = None
    tilt_deg: Range | None = None
    pan_units_per_deg: UnitsPerDeg | None = None
    tilt_units_per_deg: UnitsPerDeg | None = None
    pan_max_deg_s: MaxSpeedDegS | None = None
    tilt_max_deg_s: MaxSpeedDegS | None = None
    zoom_ratio: Annotated[float, msgspec.Meta(ge=1, le=100)] | None = None
    zoom_tele: Annotated[int, msgspec.Meta(ge=1, le=0xFFFF)] | None = None
    presets: Annotated[int, msgspec.Meta(ge=0, le=127)] | None = None
    focus: bool = False
    reply_timeout_s: Annotated[float, msgspec.Meta(ge=0.05, le=0.5)] = 0.3

    def __post_init__(self) -> None:
        """Refuse properties that are neither declared nor known of the model."""
        super().__post_init__()
        check_ranges(self, "pan_deg", "tilt_deg")
        merged = self._merge_model()
        for name, explanation in (
            ("pan_deg", "its range of pan, to the right of its middle"),
            ("tilt_deg", "its range of tilt"),
            ("pan_units_per_deg", "the units of its pan position in a degree"),
            ("tilt_units_per_deg", "the units of its tilt position in a degree"),
            ("pan_speeds_deg_s", "its top speed of pan"),
            ("tilt_speeds_deg_s", "its top speed of tilt"),
        ):
            if getattr(merged, name) is None:
                key = name.replace("speeds", "max")
                model = (
                    f"a model: {', '.join(MODEL_NAMES)}"
                    if self.model is None
                    else f"another model than {self.model!r}, which does not state it"
                )
                raise ValueError(f"{key}: missing, {explanation}; allowed: given, or {model}")
        if (merged.zoom_ratio or 1) > 1 and merged.zoom_tele is None:
            raise ValueError("zoom_tele is missing: the zoom position at tele")

    def _merge_model(self) -> ViscaModel:
        model = ViscaModel() if self.model is None else MODELS[self.model]
        declared = {
            name: getattr(self, name)
            for name in model.__struct_fields__
            if getattr(self, name, None) is not None
        }
        if self.pan_max_deg_s is not None:
            declared["pan_speeds_deg_s"] = equal_steps(self.pan_max_deg_s, PAN_STEPS)
        if self.tilt_max_deg_s is not None:
            declared["tilt_speeds_deg_s"] = equal_steps(self.tilt_max_deg_s, TILT_STEPS)
        return msgspec.structs.replace(model, **declared)

    @property
    def specs(self) -> ViscaSpecs:
        """The properties of the camera, declared or known."""
        fields = msgspec.structs.asdict(self._merge_model())
        fields["zoom_ratio"] = fields["zoom_ratio"] or 1.0
        fields["zoom_tele"] = fields["zoom_tele"] or 1
        fields["presets"] = fields["presets"] or 0
        return ViscaSpecs(**fields, focus=self.focus)
