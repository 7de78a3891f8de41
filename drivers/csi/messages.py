"""What passes between the child that holds the camera module and its parent.

Upwards a stream of messages, each behind its length; downwards one message per datagram. Both are
socket pairs that only these two processes have, so nothing here defends against a stranger.
"""

import io
import struct
from typing import TypeAlias

import msgspec

from drivers.contracts import CameraReadings
from drivers.csi.options import Options
from drivers.errors import DriverErrorKind
from drivers.media import Packet, Polygon, StreamInfo

_LENGTH = struct.Struct("<I")


class Setup(msgspec.Struct, frozen=True, kw_only=True, tag="setup"):
    """The first word downwards: what the child is to open.

    `ask_masks`: the parent is asked for the masks before each picture, and `masks` is not used.
    """

    display_name: str
    options: Options
    packets: bool
    frames_fps: float
    masks: tuple[Polygon, ...]
    query_masks: bool
    parent_pid: int


class SlotFree(msgspec.Struct, frozen=True, kw_only=True, tag="slot"):
    """The parent has copied the frame of this slot."""

    slot: int


class MasksReply(msgspec.Struct, frozen=True, kw_only=True, tag="masks"):
    """The answer to MasksAsked of the same number."""

    number: int
    masks: tuple[Polygon, ...]


ParentMessage: TypeAlias = Setup | SlotFree | MasksReply


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """The camera runs. `lacking` names the controls that were wanted and that it does not have.
    Frames have the size given, and there are so many slots for them.
    """

    info: StreamInfo
    frame_width_px: int
    frame_height_px: int
    slots: int
    encoder: str | None
    missing_controls: tuple[str, ...]


class EncodedPacket(msgspec.Struct, frozen=True, kw_only=True, tag="packet"):
    """One access unit."""

    packet: Packet


class FrameReady(msgspec.Struct, frozen=True, kw_only=True, tag="frame"):
    """A frame lies in a slot of the shared memory, which is the parent's until it is freed."""

    slot: int
    seq: int
    t_ns: int


class ReadingsUpdate(msgspec.Struct, frozen=True, kw_only=True, tag="readings"):
    """Once a second."""

    readings: CameraReadings


class MasksQuery(msgspec.Struct, frozen=True, kw_only=True, tag="asked"):
    """Which masks hold now? A picture waits for the answer."""

    number: int


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The child's last word. `masks`: the masks cannot be drawn."""

    kind: DriverErrorKind
    message: str
    is_mask_error: bool = False


ChildMessage: TypeAlias = Opened | EncodedPacket | FrameReady | ReadingsUpdate | MasksQuery | Failed

_child_decoder: msgspec.msgpack.Decoder[ChildMessage] = msgspec.msgpack.Decoder(ChildMessage)
_parent_decoder: msgspec.msgpack.Decoder[ParentMessage] = msgspec.msgpack.Decoder(ParentMessage)


def pack_child_message(message: ChildMessage) -> bytes:
    """A message behind its length."""
    data = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(data)) + data


def read_child_message(stream: io.BufferedIOBase) -> ChildMessage | None:
    """The next message, None at the stream's end, in the middle of a message too. Blocks.

    Raises msgspec.DecodeError where it is none.
    """
    length_prefix = stream.read(_LENGTH.size)
    if len(length_prefix) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(length_prefix)
    data = stream.read(length)
    return None if len(data) < length else _child_decoder.decode(data)


def pack_parent_message(message: ParentMessage) -> bytes:
    """A datagram."""
    return msgspec.msgpack.encode(message)


def unpack_parent_message(data: bytes) -> ParentMessage:
    """A message from a datagram. Raises msgspec.DecodeError where it is none."""
    return _parent_decoder.decode(data)
