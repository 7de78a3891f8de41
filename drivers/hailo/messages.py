"""Messages between the parent and the child that runs a model on a Hailo."""

from typing import Annotated, TypeAlias

import msgspec

from drivers.child.messages import Failed
from drivers.media import FoundObjects, UnitInterval

MAX_INPUT_SIDE_PX = 2048


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The model's file, the hash that it has to have, and the least score of an object that is reported."""

    file: str
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    min_score: UnitInterval
    class_numbers: tuple[int, ...]


class Loaded(msgspec.Struct, frozen=True, kw_only=True, tag="loaded"):
    """The model runs on the device. It takes pictures of this size, in the shared memory."""

    width_px: Annotated[int, msgspec.Meta(ge=32, le=MAX_INPUT_SIDE_PX)]
    height_px: Annotated[int, msgspec.Meta(ge=32, le=MAX_INPUT_SIDE_PX)]


class Infer(msgspec.Struct, frozen=True, kw_only=True, tag="infer"):
    """The parent has written a picture."""

    number: int


class Inferred(msgspec.Struct, frozen=True, kw_only=True, tag="inferred"):
    """The objects in the picture of this number."""

    number: int
    objects: FoundObjects


ChildMessage: TypeAlias = Loaded | Inferred

child_decoder: msgspec.msgpack.Decoder[ChildMessage | Failed] = msgspec.msgpack.Decoder(
    ChildMessage | Failed
)
infer_decoder: msgspec.msgpack.Decoder[Infer] = msgspec.msgpack.Decoder(Infer)


def input_bytes(loaded: Loaded) -> int:
    """Return the size of a picture: RGB, one byte each."""
    return loaded.width_px * loaded.height_px * 3
