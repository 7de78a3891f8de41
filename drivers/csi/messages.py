"""Messages between the camera module's child and its parent.

The child sends a stream of messages, each after its length; the parent sends one message per datagram.
Both are socket pairs of these two processes alone, so the content is trusted.
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
    """The parent's first message: what the child opens.

    `query_masks`: the child asks for the masks before each picture, and `masks` is not used.
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
    """The answer to the MasksQuery of the same number."""

    number: int
    masks: tuple[Polygon, ...]


ParentMessage: TypeAlias = Setup | SlotFree | MasksReply


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """The camera runs. `missing_controls` are requested controls that it does not have.

    Frames have the given size, in as many slots.
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
    """A frame is in a slot of the shared memory, which the parent owns until it frees the slot."""

    slot: int
    seq: int
    t_ns: int


class ReadingsUpdate(msgspec.Struct, frozen=True, kw_only=True, tag="readings"):
    """The sensor's readings, once a second."""

    readings: CameraReadings


class MasksQuery(msgspec.Struct, frozen=True, kw_only=True, tag="asked"):
    """The query for the masks in force. A picture waits for the answer."""

    number: int


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The child's last message. `is_mask_error`: the masks cannot be drawn."""

    kind: DriverErrorKind
    message: str
    is_mask_error: bool = False


ChildMessage: TypeAlias = Opened | EncodedPacket | FrameReady | ReadingsUpdate | MasksQuery | Failed

_child_decoder: msgspec.msgpack.Decoder[ChildMessage] = msgspec.msgpack.Decoder(ChildMessage)
_parent_decoder: msgspec.msgpack.Decoder[ParentMessage] = msgspec.msgpack.Decoder(ParentMessage)


def pack_child_message(message: ChildMessage) -> bytes:
    """Encode a message after its length."""
    data = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(data)) + data


def read_child_message(stream: io.BufferedIOBase) -> ChildMessage | None:
    """Read the next message, or None at the stream's end, even within a message. Blocks.

    Raises: msgspec.DecodeError if it is not a message.
    """
    length_prefix = stream.read(_LENGTH.size)
    if len(length_prefix) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(length_prefix)
    data = stream.read(length)
    return None if len(data) < length else _child_decoder.decode(data)


def pack_parent_message(message: ParentMessage) -> bytes:
    """Encode a datagram."""
    return msgspec.msgpack.encode(message)


def unpack_parent_message(data: bytes) -> ParentMessage:
    """Decode a datagram. Raises: msgspec.DecodeError if it is not a message."""
    return _parent_decoder.decode(data)
