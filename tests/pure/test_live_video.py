"""agent.capture.live_video: which video may be pushed, and in which form. The push itself: tests/contracts."""

import struct

import pytest

from agent.capture.live_command import LiveCommandHandler, LiveVideoStream
from agent.capture.live_keyframes import LiveKeyframes
from agent.capture.live_looks import Look
from agent.capture.live_video import MAX_VIDEO_LOOKS, LiveVideo
from agent.capture.packet_tap import PacketTap
from agent.capture.snapshot_command import CameraAccess
from agent.capture.video_target import parse_target
from agent.commands.command import Deferred, Permission
from agent.commands.requester import CommandRejected, Requester
from agent.config.link import LinkConfig
from agent.recording.annex_b import AnnexBConverter
from agent.runtime.link_budget import LinkBudget
from drivers.masking import WHOLE_PICTURE
from drivers.media import Packet, Polygon, StreamInfo
from tests.conftest import ManualClock
from tests.pure.live_rig import AMINA, OMAR, SESSION, LookRig, live_command

URL = "rtsps://box:s3cret@media.city.example/north"
HOSTS = ("media.city.example",)
LINK = LinkConfig(upload_hosts=HOSTS)
SPS, PPS, IDR, SLICE = b"\x67sps", b"\x68pps", b"\x65idr", b"\x41slice"
START = b"\x00\x00\x00\x01"


def info(codec: str = "h264", extradata: bytes = b"", *, masked: bool = False) -> StreamInfo:
    return StreamInfo(
        codec=codec, width_px=64, height_px=48, fps=10.0, extradata=extradata, masked=masked
    )


class VideoRig(LookRig):
    """A handler of one camera whose video is never pushed: nothing is accepted, or it is extended."""

    def __init__(self, clock: ManualClock, link: LinkConfig = LINK) -> None:
        super().__init__(clock)
        self.masks: tuple[Polygon, ...] = ()
        self.tap = PacketTap()
        self.cameras = {
            "north": CameraAccess(packet_tap=self.tap, has_frames=False, masks=lambda: self.masks),
            "watched": CameraAccess(),
            "tram": CameraAccess(viewers=("omar",), packet_tap=self.tap),
        }
        video = LiveVideo(self.looks, self.cameras, LinkBudget(), clock)
        keyframes = LiveKeyframes(self.looks, self.cameras, clock.boottime_ns)
        self.handler = LiveCommandHandler(
            self.cameras,
            self.looks,
            video,
            keyframes,
            link,
            lambda: None,
            lambda: SESSION,
            clock.boottime_ns,
        )

    def look(self, by: Requester = AMINA, camera: str = "north", to: str = URL) -> object:
        return self.handler.run(live_command(LiveVideoStream(camera=camera, to=to), by), self)  # type: ignore[arg-type]

    def begin(self, by: Requester = AMINA) -> Look:
        look = Look(
            "north",
            by,
            parse_target(URL, HOSTS),
            begin_ns=self.clock.now_ns,
            until_ns=self.clock.now_ns + 10_000_000_000,
            session=SESSION,
            progress_sink=self,  # type: ignore[arg-type] # as far as a look uses it
        )
        self.looks.begin(look)
        return look


@pytest.fixture
def rig(clock: ManualClock) -> VideoRig:
    return VideoRig(clock)


def refusal(rig: VideoRig, **arguments: str) -> CommandRejected:
    with pytest.raises(CommandRejected) as refused:
        rig.look(**arguments)  # type: ignore[arg-type]
    assert "s3cret" not in str(refused.value)
    return refused.value


def test_video_that_cannot_or_may_not_be_shown_is_refused(rig: VideoRig) -> None:
    assert refusal(rig).code == "unavailable"
    rig.tap.open(info("mjpeg"))
    assert refusal(rig).code == "unsupported"
    rig.tap.open(info())
    rig.masks = WHOLE_PICTURE
    assert refusal(rig).code == "forbidden"
    assert refusal(rig, camera="watched").code == "unsupported"
    assert refusal(rig, camera="tram").code == "forbidden"
    assert refusal(rig, to="rtsps://elsewhere.example/x").code == "forbidden"
    assert refusal(rig, to="https://media.city.example/x").code == "malformed"
    assert rig.begun == []


def test_a_repeat_extends_the_push_and_another_address_is_refused(rig: VideoRig) -> None:
    rig.tap.open(info())
    first = rig.begin()
    assert isinstance(rig.look(), Deferred)
    (second,) = rig.looks.running("video")
    assert second.push is first.push
    assert rig.reasons() == ["extended"]
    assert refusal(rig, to="rtsps://media.city.example/other").code == "busy"


def test_videos_are_bounded(rig: VideoRig) -> None:
    rig.tap.open(info())
    for number in range(MAX_VIDEO_LOOKS):
        rig.begin(Requester(id=f"r{number}", role="operator"))
    assert refusal(rig).code == "busy"


def test_a_metered_link_has_video_of_incidents_only(clock: ManualClock) -> None:
    metered = LinkConfig(upload_hosts=HOSTS, metered=True, bytes_per_day=1_000_000)
    rig = VideoRig(clock, metered)
    rig.tap.open(info())
    assert refusal(rig).code == "forbidden"
    rig.begin(OMAR)
    assert isinstance(rig.look(OMAR), Deferred)


def test_a_server_that_took_nothing_refuses_the_command(rig: VideoRig) -> None:
    rig.begin(AMINA)
    rig.begin(OMAR).count(100)
    with pytest.raises(CommandRejected, match="no server listens") as refused:
        rig.looks.end(lambda look: look.requester == AMINA, "server", "no server listens")
    assert refused.value.code == "unavailable"
    (ended,) = rig.looks.end(lambda _: True, "server", "it was killed")
    assert (ended.sent, ended.reason) == (1, "server")


def test_video_needs_the_permission_to_see_its_camera(rig: VideoRig) -> None:
    args = LiveVideoStream(camera="north", to=URL)
    assert rig.handler.permission(args) == Permission(action="see", cameras=("north",))
    assert "s3cret" not in rig.handler.command.describe(args) + repr(args)


def avc_config() -> bytes:
    def sets(unit: bytes) -> bytes:
        return struct.pack(">H", len(unit)) + unit

    return b"\x01\x42\x00\x1e\xff\xe1" + sets(SPS) + b"\x01" + sets(PPS)


def packet(data: bytes, *, is_key: bool = False) -> Packet:
    return Packet(t_ns=1, pts_ns=1, dts_ns=1, is_key=is_key, data=data)


def test_a_stream_with_lengths_becomes_one_with_start_codes_and_sets_at_each_keyframe() -> None:
    converter = AnnexBConverter(info(extradata=avc_config()))
    sets = START + SPS + START + PPS
    keyframe = packet(struct.pack(">I", len(IDR)) + IDR, is_key=True)
    assert converter.convert(keyframe).data == sets + START + IDR
    assert converter.convert(keyframe).data == sets + START + IDR
    assert converter.convert(packet(struct.pack(">I", len(SLICE)) + SLICE)).data == START + SLICE
    with pytest.raises(ValueError, match="a NAL unit ends at"):
        converter.convert(packet(struct.pack(">I", 100) + SLICE))


def test_a_stream_with_start_codes_is_left_as_it_is() -> None:
    converter = AnnexBConverter(info(extradata=START + SPS + START + PPS))
    whole = packet(START + SPS + START + PPS + START + IDR, is_key=True)
    assert converter.convert(whole) == whole
