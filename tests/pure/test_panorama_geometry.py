"""agent.ptz.panorama.stitch: a panorama's JPEG says which direction each of its pixels shows."""

import math
import re

import cv2
import numpy as np
import pytest

from agent.capture.jpeg import encode_jpeg
from agent.config.heads import FieldOfView
from agent.ptz.panorama.stitch import NAMESPACE, geometry_segment, insert_segment

FOV = FieldOfView(wide=60.0, tele=4.5, aspect=16 / 9)
CLOSED = {"size_px": (3600, 900), "pan_from_deg": -180.0, "width_deg": 360.0, "tilt_high_deg": 30.0}
PART = {"size_px": (1000, 500), "pan_from_deg": -75.0, "width_deg": 150.0, "tilt_high_deg": -5.0}
OVER_THE_BACK = {
    "size_px": (800, 300),
    "pan_from_deg": -200.0,
    "width_deg": 120.0,
    "tilt_high_deg": 8.0,
}


def read_values(jpeg: bytes) -> dict[str, str]:
    """Read the XMP as a program for panoramas does: by its names, wherever the segment is."""
    packet = jpeg[jpeg.index(b"<x:xmpmeta") : jpeg.index(b"</x:xmpmeta>")].decode("ascii")
    return dict(re.findall(r'([A-Za-z]+:[A-Za-z]+)="([^"]*)"', packet))


@pytest.mark.parametrize("panorama", [CLOSED, PART, OVER_THE_BACK])
def test_each_direction_has_its_pixel(panorama: dict) -> None:
    values = read_values(b"\xff\xd8" + geometry_segment(**panorama, fov=FOV))
    full_px, left_px, top_px, height_px = (
        int(values[f"GPano:{key}Pixels"])
        for key in ("FullPanoWidth", "CroppedAreaLeft", "CroppedAreaTop", "FullPanoHeight")
    )
    width_px = panorama["size_px"][0]
    assert int(values["GPano:CroppedAreaImageWidthPixels"]) == width_px
    px_per_deg = width_px / panorama["width_deg"]
    for share in (0.1, 0.5, 0.9):
        pan_deg = panorama["pan_from_deg"] + share * panorama["width_deg"]
        column = ((pan_deg + 180) / 360 * full_px - left_px) % full_px
        assert column == pytest.approx(share * width_px, abs=1)
    for tilt_deg in (-30.0, 0.0, 12.0):
        row = height_px / 2 - top_px - math.tan(math.radians(tilt_deg)) * full_px / (2 * math.pi)
        down = math.tan(math.radians(panorama["tilt_high_deg"])) - math.tan(math.radians(tilt_deg))
        assert row == pytest.approx(down * math.degrees(1) * px_per_deg, abs=1.5)


def test_the_field_of_view_of_the_camera_is_in_it() -> None:
    values = read_values(geometry_segment(**CLOSED, fov=FOV))
    assert (values["vigie:FovWideDeg"], values["vigie:FovTeleDeg"]) == ("60.000000", "4.500000")
    assert float(values["vigie:FovAspect"]) == pytest.approx(16 / 9, abs=1e-6)
    assert values["xmlns:vigie"] == NAMESPACE
    assert values["GPano:ProjectionType"] == "cylindrical"


def test_it_is_a_jpeg_as_before() -> None:
    image = np.full((90, 360, 3), 120, np.uint8)
    plain = encode_jpeg(image, 100_000)
    tagged = insert_segment(plain, geometry_segment(**CLOSED, fov=FOV))
    assert tagged[:11] == plain[:11], "JFIF is the first segment"
    assert tagged[6:10] == b"JFIF"
    decoded = cv2.imdecode(np.frombuffer(tagged, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decoded, cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_COLOR))
