"""drivers.keyframe_decoder: keyframes of recorded cameras, decoded alone in a confined child."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent.recording.annex_b import AnnexBConverter
from drivers import keyframe_decoder
from drivers.errors import DriverError
from drivers.keyframe_decoder import KeyframeDecoder
from drivers.media import Frame, Packet
from tests.contracts.conftest import open_driver, read_media
from tests.contracts.peer_memory import children_of


@pytest.fixture(scope="module", autouse=True)
def _fork_server() -> Iterator[None]:
    yield
    keyframe_decoder.FORK_SERVER.close()


def media_of(video: Path) -> tuple[str, list[Packet], list[Frame]]:
    """The codec of a video, its keyframes as a stream of their own, and their frames."""
    camera = open_driver("replay", {"path": str(video), "pace": "fast"})
    converter = AnnexBConverter(camera.info)
    media = read_media(camera, (Packet, Frame), 60)
    camera.close()
    keyframes = [converter.convert(one) for one in media if isinstance(one, Packet) and one.is_key]
    times = [one.t_ns for one in keyframes]
    frames = [one for one in media if isinstance(one, Frame) and one.t_ns in times]
    return camera.info.codec, keyframes, frames


@pytest.mark.parametrize("name", ["h264", "reordered", "mjpeg"])
def test_each_keyframe_is_decoded_alone(videos: dict[str, Path], name: str) -> None:
    codec, keyframes, frames = media_of(videos[name])
    decoder = KeyframeDecoder("camera 'test'", codec)
    assert len(frames) >= 3
    for packet, frame in zip(keyframes, frames, strict=False):
        decoded = decoder.decode(packet)
        assert decoded is not None
        assert (decoded.t_ns, decoded.y.shape, decoded.u.shape) == (
            packet.t_ns,
            frame.y.shape,
            frame.u.shape,
        )
        assert np.abs(decoded.y.astype(int) - frame.y).mean() < 3
    decoder.close()
    assert children_of(keyframe_decoder.FORK_SERVER) == []


def test_a_large_picture_is_scaled_down() -> None:
    camera = open_driver(
        "fake", {"width_px": 1920, "height_px": 1080, "pace": "fast"}, frames_fps=0.0
    )
    converter = AnnexBConverter(camera.info)
    (packet,) = read_media(camera, Packet, 1)
    camera.close()
    decoder = KeyframeDecoder("camera 'test'", camera.info.codec)
    decoded = decoder.decode(converter.convert(packet))
    decoder.close()
    assert decoded is not None
    assert (decoded.width_px, decoded.height_px) == (1280, 720)


def test_damaged_packets_have_no_picture_and_the_next_keyframe_has_one(
    videos: dict[str, Path],
) -> None:
    codec, keyframes, _ = media_of(videos["h264"])
    decoder = KeyframeDecoder("camera 'test'", codec)
    for data in (b"", b"\x00\x00\x00\x01\x65", os.urandom(1000), keyframes[0].data[:40]):
        assert decoder.decode(msgspec.structs.replace(keyframes[0], data=data)) is None
    assert decoder.decode(keyframes[1]) is not None
    decoder.close()


def test_a_child_that_is_killed_is_an_error(videos: dict[str, Path]) -> None:
    codec, keyframes, _ = media_of(videos["h264"])
    decoder = KeyframeDecoder("camera 'test'", codec)
    assert decoder.decode(keyframes[0]) is not None
    assert decoder.child_pid is not None
    assert "NoNewPrivs:\t1" in Path(f"/proc/{decoder.child_pid}/status").read_text()
    os.kill(decoder.child_pid, signal.SIGKILL)
    with pytest.raises(DriverError) as caught:
        decoder.decode(keyframes[1])
    assert caught.value.kind == "crashed"
    decoder.close()
