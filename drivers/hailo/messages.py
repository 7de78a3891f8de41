"""Operations and results between the parent and the child that runs a model on a Hailo."""

from typing import Annotated, TypeAlias

import msgspec

from drivers.media import UnitInterval

MAX_INPUT_SIDE_PX = 2048


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The model's file, the hash that it has to have, and the least score of an object that is reported."""

    file: str
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    min_score: UnitInterval
    class_numbers: tuple[int, ...]


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The model runs on the device. It takes pictures of this size, in the shared memory."""

    width_px: Annotated[int, msgspec.Meta(ge=32, le=MAX_INPUT_SIDE_PX)]
    height_px: Annotated[int, msgspec.Meta(ge=32, le=MAX_INPUT_SIDE_PX)]


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Report the model when it runs on the device: Loaded."""


class Infer(msgspec.Struct, frozen=True, tag="infer"):
    """Search the picture that the parent has written: its FoundObjects."""


Operation: TypeAlias = Load | Infer


def input_bytes(loaded: Loaded) -> int:
    """Return the size of a picture: RGB, one byte each."""
    return loaded.width_px * loaded.height_px * 3
