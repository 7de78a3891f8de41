"""Packets of a camera as an elementary stream, for a video server or a decoder of their own. Pure."""

import msgspec

from agent.recording.annex_b import has_parameter_sets, parse_extradata, to_annex_b
from drivers.media import Packet, StreamInfo


class AnnexBConverter:
    """Converts the packets of a stream to Annex B, with the parameter sets before each keyframe.

    A player that connects to the server later begins at a keyframe.
    """

    def __init__(self, info: StreamInfo) -> None:
        """Raises: ValueError if the stream's parameter sets are damaged."""
        self._codec = info.codec
        self._format = parse_extradata(info.codec, info.extradata)

    def convert(self, packet: Packet) -> Packet:
        """Return the packet in Annex B. Raises: ValueError if it is damaged."""
        data = packet.data
        if self._format.length_bytes is not None:
            data = to_annex_b(data, self._format.length_bytes)
        if packet.is_key and not has_parameter_sets(self._codec, data):
            data = self._format.parameter_sets + data
        return msgspec.structs.replace(packet, data=data)
