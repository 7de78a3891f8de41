"""What the configuration says of a VISCA camera, completed with what is known of its model."""

from typing import Annotated

import msgspec

from drivers.contracts import PtzAbilities, Range
from drivers.serial_port import SerialSettings
from drivers.visca_models import (
    MODELS,
    STEPS_PAN,
    STEPS_TILT,
    Model,
    ModelName,
    equal_steps,
)

Scale = Annotated[float, msgspec.Meta(gt=0, le=180)]
Fastest = Annotated[float, msgspec.Meta(gt=0, le=720)]


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """A camera of which all is known; see `drivers.visca_models.Model`."""

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
    def abilities(self) -> PtzAbilities:
        """What it can do."""
        return PtzAbilities(
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
    """What is given stands instead of what is known of the model.

    `address` is the camera's place in the chain. `pan_units_per_deg` and `tilt_units_per_deg` are
    by how much the camera's position counts in a degree. `pan_max_deg_s` and `tilt_max_deg_s` are
    its fastest; the steps below are taken to be equal. `zoom_tele` is its zoom position at tele.
    With `focus` the focus may be driven, which ends autofocus until the next goto or preset.
    """

    address: Annotated[int, msgspec.Meta(ge=1, le=7)] = 1
    model: ModelName | None = None
    pan_deg: Range | None = None
    tilt_deg: Range | None = None
    pan_units_per_deg: Scale | None = None
    tilt_units_per_deg: Scale | None = None
    pan_max_deg_s: Fastest | None = None
    tilt_max_deg_s: Fastest | None = None
    zoom_ratio: Annotated[float, msgspec.Meta(ge=1, le=100)] | None = None
    zoom_tele: Annotated[int, msgspec.Meta(ge=1, le=0xFFFF)] | None = None
    presets: Annotated[int, msgspec.Meta(ge=0, le=127)] | None = None
    focus: bool = False
    reply_timeout_s: Annotated[float, msgspec.Meta(ge=0.05, le=0.5)] = 0.3

    def __post_init__(self) -> None:
        """Refuse what no single field can tell."""
        super().__post_init__()
        for name in ("pan_deg", "tilt_deg"):
            span: Range | None = getattr(self, name)
            if span is not None and span.low >= span.high:
                raise ValueError(f"{name}: low {span.low} is not below high {span.high}")
        known = self._known()
        for name, what in (
            ("pan_deg", "from where to where it turns, to the right of its middle"),
            ("tilt_deg", "from where to where it tilts"),
            ("pan_units_per_deg", "by how much its pan position counts in a degree"),
            ("tilt_units_per_deg", "by how much its tilt position counts in a degree"),
            ("pan_speeds_deg_s", "how fast it turns at most: pan_max_deg_s"),
            ("tilt_speeds_deg_s", "how fast it tilts at most: tilt_max_deg_s"),
        ):
            if getattr(known, name) is None:
                key = name.replace("speeds", "max")
                raise ValueError(f"{key} is missing for model {self.model}: {what}")
        if (known.zoom_ratio or 1) > 1 and known.zoom_tele is None:
            raise ValueError("zoom_tele is missing: the zoom position at tele")

    def _known(self) -> Model:
        model = Model() if self.model is None else MODELS[self.model]
        said = {
            name: getattr(self, name)
            for name in model.__struct_fields__
            if getattr(self, name, None) is not None
        }
        if self.pan_max_deg_s is not None:
            said["pan_speeds_deg_s"] = equal_steps(self.pan_max_deg_s, STEPS_PAN)
        if self.tilt_max_deg_s is not None:
            said["tilt_speeds_deg_s"] = equal_steps(self.tilt_max_deg_s, STEPS_TILT)
        return msgspec.structs.replace(model, **said)

    @property
    def build(self) -> Build:
        """The camera as it is declared, or known."""
        whole = msgspec.structs.asdict(self._known())
        whole["zoom_ratio"] = whole["zoom_ratio"] or 1.0
        whole["zoom_tele"] = whole["zoom_tele"] or 1
        whole["presets"] = whole["presets"] or 0
        return Build(**whole, focus=self.focus)
