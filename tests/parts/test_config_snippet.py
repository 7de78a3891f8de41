"""agent.diagnostics.probe.config_snippet: valid once a technician has filled it in, and rejected before."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.capture import camera_source
from agent.config.configuration import Config
from agent.diagnostics.probe.config_snippet import render_snippet
from agent.diagnostics.probe.results import FoundOnvif, FoundPins, ProbeResult, ProbeSection
from drivers.catalog import load_ptz_driver
from drivers.csi.camera_modules import CameraModule
from drivers.gpio_chips import PinFactory
from drivers.head_probe_codec import HeadAnswer
from drivers.head_search import FoundHead, PortSearch
from drivers.onvif.camera_info import CameraInfo, MediaProfile
from drivers.rtsp_search import FoundRtspServer
from drivers.v4l2_devices import VideoDevice
from tests.conftest import ManualClock

BOX = """
[box]
id = "casa-0001"
site = "x"
[broker]
url = "mqtt://127.0.0.1:1"
"""
LINE = "/dev/serial/by-id/usb-FTDI_A50285BI-if00-port0"
MAIN = MediaProfile(
    token="p0",  # noqa: S106 - ONVIF's word for a name
    name="main",
    codec="H264",
    width_px=1920,
    height_px=1080,
    fps=25,
    has_head=True,
)
ADOPTED = CameraInfo(
    name="Tram 14, front",
    maker="Alstom",
    model="Dome",
    serial="77",
    firmware="1",
    record=MAIN,
    stream_url="rtsp://10.0.0.31:554/p0?x=1",
    detect=msgspec.structs.replace(MAIN, token="p1", width_px=640, height_px=360),  # noqa: S106 - ONVIF's word
    detect_url="rtsp://10.0.0.31:554/p1",
    snapshot_url=None,
    has_ptz=True,
    has_events=True,
    topics=("RuleEngine/LineDetector/Crossed",),
)


def answer(driver: Any, address: int, *, reports_position: bool = True) -> HeadAnswer:
    return HeadAnswer(driver=driver, address=address, reports_position=reports_position)


ALL = ProbeResult(
    camera_modules=ProbeSection(
        found=(
            CameraModule(number=0, id="/base/soc/i2c0mux/i2c@1/imx708@1a", model="imx708"),
            CameraModule(number=1, id="/base/usb@1/camera", model="HD Pro", is_usb=True),
        )
    ),
    video_devices=ProbeSection(
        found=(
            VideoDevice(path="/dev/video0", name="HD Pro", is_capture=True, formats=("mjpeg",)),
            VideoDevice(path="/dev/video2", name="HD Pro", is_capture=True, formats=("yuyv422",)),
            VideoDevice(path="/dev/video10", name="codec", kernel_driver="bcm2835-codec"),
        )
    ),
    pins=FoundPins(factory=PinFactory(name="lgpio", board="Raspberry Pi 4B rev 1.4")),
    heads=ProbeSection(
        found=(
            PortSearch(
                port=LINE,
                state="free",
                heads=(
                    FoundHead(port=LINE, baud=2400, answer=answer("pelco_d", 1)),
                    FoundHead(
                        port=LINE, baud=2400, answer=answer("pelco_d", 2, reports_position=False)
                    ),
                ),
            ),
            PortSearch(
                port="socket://10.0.0.40:5678",
                state="free",
                heads=(
                    FoundHead(port="socket://10.0.0.40:5678", baud=None, answer=answer("visca", 1)),
                ),
            ),
        )
    ),
    onvif=ProbeSection(found=(FoundOnvif(url="http://10.0.0.31", adopted=ADOPTED),)),
    rtsp=ProbeSection(
        found=(
            FoundRtspServer(host="10.0.0.31", port=554, status=401),
            FoundRtspServer(host="10.0.0.32", port=8554, status=200, server="GStreamer"),
            FoundRtspServer(host="10.0.0.33", port=554),
        )
    ),
)


def filled_in(text: str) -> str:
    """As a technician does who accepts every suggestion."""
    return re.sub(r"^# (.*?)  # fill in: .*$", r"\1", text, flags=re.MULTILINE)


def checked(text: str, folder: Path) -> Config:
    """As `vigie check-config` and `vigie run` check it. Raises UserError."""
    path = folder / "vigie.toml"
    path.write_text(BOX + text, encoding="utf-8")
    config, _ = camera_source.load_sources(path, ManualClock())
    for index, head in enumerate(config.head):
        checked_convert.convert(
            head.options, load_ptz_driver(head.driver).Options, "test", f"head[{index}].options"
        )
    return config


def test_the_snippet_is_valid_once_it_is_filled_in(tmp_path: Path) -> None:
    config = checked(filled_in(render_snippet(ALL)), tmp_path)
    assert [(camera.name, camera.driver) for camera in config.camera] == [
        ("csi0", "csi"),
        ("usb-hd-pro", "v4l2"),
        ("usb-hd-pro-2", "v4l2"),
        ("tram-14-front", "rtsp"),
        ("rtsp-10-0-0-32", "rtsp"),
    ]
    csi, mjpeg, raw, tram, other = config.camera
    assert csi.options == {"camera": "/base/soc/i2c0mux/i2c@1/imx708@1a"}
    assert mjpeg.options == {"device": "/dev/video0", "format": "mjpeg"}
    assert (mjpeg.transcode, raw.transcode) == (False, True), "frames alone cannot be recorded"
    assert tram.options["url"] == ADOPTED.stream_url
    assert tram.detect_options is not None
    assert tram.onvif is not None
    assert tram.institution is not None
    assert other.options["url"].startswith("rtsp://10.0.0.32:8554/")
    assert [(head.driver, head.options.get("address")) for head in config.head] == [
        ("onvif", None),
        ("pelco_d", 1),
        ("pelco_d", 2),
        ("visca", 1),
    ]
    assert config.head[0].camera == "tram-14-front"
    with_position, reckoned, visca = config.head[1:]
    assert (with_position.options["position"], with_position.options["baud"]) == ("query", 2400)
    assert "position" not in reckoned.options
    assert "baud" not in visca.options, "the far server sets it"


@pytest.mark.parametrize(
    ("kept", "missing"),
    [
        ({"heads": ALL.heads, "camera_modules": ALL.camera_modules}, "tilt_deg"),
        ({"rtsp": ALL.rtsp}, "url"),
    ],
)
def test_values_only_a_technician_knows_are_not_guessed(
    kept: dict[str, Any], missing: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=missing):
        checked(render_snippet(ProbeResult(**kept)), tmp_path)


def test_the_user_that_opened_the_cameras_is_in_the_snippet(tmp_path: Path) -> None:
    text = render_snippet(ProbeResult(onvif=ALL.onvif), "vigie", "/etc/vigie/tram.password")
    config = checked(text, tmp_path)
    (tram,) = config.camera
    assert tram.options["username"] == "vigie"
    assert tram.onvif is not None
    assert tram.onvif.password_file == "/etc/vigie/tram.password"  # noqa: S105 - a path
    assert tram.institution is None, "that is a person's to say"


def test_pins_are_listed_and_left_to_the_technician() -> None:
    text = render_snippet(ProbeResult(pins=ALL.pins))
    assert "Raspberry Pi 4B rev 1.4, through lgpio" in text
    assert tomllib.loads(text) == {}


def test_an_empty_result_gives_an_empty_snippet() -> None:
    assert tomllib.loads(render_snippet(ProbeResult())) == {}


ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(name=ANYTHING, model=ANYTHING, path=ANYTHING, topic=ANYTHING)
def test_any_device_name_gives_valid_toml(name: str, model: str, path: str, topic: str) -> None:
    adopted = msgspec.structs.replace(
        ADOPTED, name=name, model=model, stream_url=f"rtsp://h/{path}", topics=(topic,)
    )
    probed = ProbeResult(
        camera_modules=ProbeSection(found=(CameraModule(number=0, id=f"/{path}", model=model),)),
        video_devices=ProbeSection(
            found=(
                VideoDevice(path="/dev/video0", name=name, is_capture=True, other_formats=(model,)),
            )
        ),
        onvif=ProbeSection(found=(FoundOnvif(url="http://h", adopted=adopted),)),
    )
    tables = tomllib.loads(filled_in(render_snippet(probed)))
    config = msgspec.convert({**tomllib.loads(BOX), **tables}, Config)
    assert len({camera.name for camera in config.camera}) == 3
    assert config.camera[0].options == {"camera": f"/{path}"}
    assert config.camera[2].options["url"] == f"rtsp://h/{path}"
