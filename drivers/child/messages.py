"""Messages between a child process and its parent.

The child sends a stream of messages of the local wire; the parent sends one message per datagram.
Both are socket pairs of these two processes alone. The parent's messages are trusted. The child's are not: it
reads what a foreign device sends, and a bug in a parser may have made it another program. So its
messages are bounded, decoded strictly, and checked before they are used.
"""

import io
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from drivers.child.bounded_queue import MAX_PACKET_BYTES
from drivers.contracts import CameraReadings, SensorNetwork
from drivers.errors import DriverErrorKind
from drivers.local_wire import HEADER, unpack_header
from drivers.media import Packet, PictureArea, Polygon, SensorInference, StreamInfo

T = TypeVar("T")

MAX_MESSAGE_BYTES = MAX_PACKET_BYTES + 65_536
"""A packet of the largest size that may wait, and its times."""
MAX_SIDE_PX = 8192
SLOT_COUNT, MAX_SLOTS = 4, 16
"""Of the memory of frames: one frame being written, one in transfer, and two for a parent that is late."""
MAX_MESSAGE_CHARS = 1000

Side = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE_PX)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Start(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """The parent's first message. `settings` are of the child's own kind."""

    display_name: str
    settings: msgspec.Raw


class MediaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a camera's child: `options` are the driver's, the rest is the StreamRequest.

    `query_masks`: the child asks for the masks before each picture, and `masks` is not used. Otherwise `masks` count
    until the parent sends others. `query_keyframes`: the request has a watch of keyframes, which the child queries.
    """

    options: msgspec.Raw
    packets: bool
    frames_fps: float
    masks: tuple[Polygon, ...] = ()
    query_masks: bool = False
    query_keyframes: bool = False
    network: SensorNetwork | None = None


class SlotFree(msgspec.Struct, frozen=True, kw_only=True, tag="slot"):
    """The parent has copied the frame of this slot."""

    slot: int


class MasksReply(msgspec.Struct, frozen=True, kw_only=True, tag="masks"):
    """The answer to the MasksQuery of the same number, or other masks from now on, which `MasksTaken` answers."""

    number: int
    masks: tuple[Polygon, ...]


class SetMinFps(msgspec.Struct, frozen=True, kw_only=True, tag="min_fps"):
    """Deliver at least so many pictures a second; None: as configured."""

    fps: float | None


class SetNight(msgspec.Struct, frozen=True, kw_only=True, tag="night"):
    """Take pictures as by night or by day; None: as the camera decides by itself."""

    night: bool | None


class KeyframeReply(msgspec.Struct, frozen=True, kw_only=True, tag="keyframe"):
    """The answer to the KeyframeQuery of the same number: whether the pictures around the keyframe are wanted."""

    number: int
    is_wanted: bool


class SetSearchArea(msgspec.Struct, frozen=True, kw_only=True, tag="area"):
    """The sensor's network searches this part of the pictures to come."""

    area: PictureArea


ParentMessage: TypeAlias = (
    Start | SlotFree | MasksReply | SetMinFps | SetNight | KeyframeReply | SetSearchArea
)


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """The camera runs. `missing_controls` are requested controls that it does not have.

    Frames have the given size, in as many slots. `network_error` is the reason why the requested network does not run.
    With a network this comes before the camera is started, which takes minutes if the sensor does not have it yet.
    """

    info: StreamInfo
    frame_width_px: Side
    frame_height_px: Side
    slots: Annotated[int, msgspec.Meta(ge=1, le=MAX_SLOTS)]
    encoder: str | None = None
    missing_controls: tuple[str, ...] = ()
    network_error: Annotated[str, msgspec.Meta(max_length=MAX_MESSAGE_CHARS)] | None = None


class Loading(msgspec.Struct, frozen=True, kw_only=True, tag="loading"):
    """The network is being sent to the sensor; 0 of 0 if the kernel does not say how much of it."""

    done_bytes: Count
    total_bytes: Count


class EncodedPacket(msgspec.Struct, frozen=True, kw_only=True, tag="packet"):
    """One access unit."""

    packet: Packet


class FrameReady(msgspec.Struct, frozen=True, kw_only=True, tag="frame"):
    """A frame is in a slot of the shared memory, which the parent owns until it frees the slot."""

    slot: Count
    seq: Count
    t_ns: Count
    is_late: bool = False
    inference: SensorInference | None = None


class KeyframeQuery(msgspec.Struct, frozen=True, kw_only=True, tag="keyframe"):
    """A keyframe is in a slot for the watch of keyframes, as in FrameReady. The child waits for the answer."""

    number: int
    slot: Count
    t_ns: Count


class ReadingsUpdate(msgspec.Struct, frozen=True, kw_only=True, tag="readings"):
    """The sensor's readings, once a second."""

    readings: CameraReadings


class MasksTaken(msgspec.Struct, frozen=True, kw_only=True, tag="masks_taken"):
    """Pictures have the masks of this number from now on."""

    number: int


class MasksQuery(msgspec.Struct, frozen=True, kw_only=True, tag="asked"):
    """The query for the masks of the picture of this time, which waits for the answer."""

    number: int
    t_ns: Count


class DecoderFailed(msgspec.Struct, frozen=True, kw_only=True, tag="decoder_failed"):
    """The hardware decoder is not used any more, for this reason. Pictures continue by the software decoder."""

    reason: Annotated[str, msgspec.Meta(max_length=MAX_MESSAGE_CHARS)]


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="alive"):
    """The child's loop turns, and its device sends nothing."""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The child's last message. `is_mask_error`: the masks cannot be drawn."""

    kind: DriverErrorKind
    message: Annotated[str, msgspec.Meta(max_length=MAX_MESSAGE_CHARS)]
    is_mask_error: bool = False


MediaMessage: TypeAlias = (
    Opened
    | Loading
    | EncodedPacket
    | FrameReady
    | KeyframeQuery
    | ReadingsUpdate
    | MasksQuery
    | MasksTaken
    | DecoderFailed
    | Heartbeat
)

media_decoder: msgspec.msgpack.Decoder[MediaMessage | Failed] = msgspec.msgpack.Decoder(
    MediaMessage | Failed
)
_parent_decoder: msgspec.msgpack.Decoder[ParentMessage] = msgspec.msgpack.Decoder(ParentMessage)


def frame_bytes(width_px: int, height_px: int) -> int:
    """Return the size of a 4:2:0 picture in the memory of frames."""
    return width_px * height_px + 2 * ((width_px + 1) // 2) * ((height_px + 1) // 2)


def to_raw(settings: msgspec.Struct) -> msgspec.Raw:
    """Encode the part of a message whose type its reader knows."""
    return msgspec.Raw(msgspec.msgpack.encode(settings))


def from_raw(raw: msgspec.Raw, settings_type: type[T]) -> T:
    """Decode such a part. Raises: msgspec.DecodeError."""
    return msgspec.msgpack.decode(raw, type=settings_type)


def read_child_message(stream: io.BufferedIOBase, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
    """Read the next message, or None at the stream's end, even within a message. Blocks.

    Raises: ValueError if it is too long, or not a message.
    """
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    length, _ = unpack_header(header, MAX_MESSAGE_BYTES)
    data = stream.read(length)
    return None if len(data) < length else decoder.decode(data)


def pack_parent_message(message: msgspec.Struct) -> bytes:
    """Encode a datagram."""
    return msgspec.msgpack.encode(message)


def unpack_parent_message(data: bytes) -> ParentMessage:
    """Decode a datagram. Raises: msgspec.DecodeError if it is not a message."""
    return _parent_decoder.decode(data)
