"""Geometry of a panorama, written into its JPEG. Pure.

A panorama is a map only if the pan of each column and the tilt of each row are known. They are in the file itself,
because a picture and a message about it get separated: as Photo Sphere XMP (`GPano`), which programs for panoramas
read, with the projection "cylindrical". The field of view of the head's camera is in a namespace of our own.
"""

import math

from agent.config.heads import FieldOfView
from drivers.angles import FULL_TURN_DEG, HALF_TURN_DEG

NAMESPACE = "urn:vigie:head:1"
_XMP_ID = b"http://ns.adobe.com/xap/1.0/\x00"
_JFIF_MARKER, _XMP_MARKER = b"\xff\xe0", b"\xff\xe1"
_SOI_BYTES, _MARKER_BYTES, _LENGTH_BYTES = 2, 2, 2


def geometry_segment(
    size_px: tuple[int, int],
    pan_from_deg: float,
    width_deg: float,
    tilt_high_deg: float,
    fov: FieldOfView,
) -> bytes:
    """Return the JPEG segment with the geometry of a panorama of the width and height `size_px`.

    The JPEG may be smaller than that: a reader scales by `CroppedAreaImageWidthPixels`, as of any panorama.
    """
    width_px, height_px = size_px
    full_width_px = round(width_px * FULL_TURN_DEG / width_deg)
    px_per_rad = full_width_px / (2 * math.pi)
    top_px = -math.tan(math.radians(tilt_high_deg)) * px_per_rad
    half_height_px = math.ceil(max(abs(top_px), abs(top_px + height_px)))
    left_px = round((pan_from_deg + HALF_TURN_DEG) / FULL_TURN_DEG * full_width_px)
    values: dict[str, object] = {
        "GPano:ProjectionType": "cylindrical",
        "GPano:FullPanoWidthPixels": full_width_px,
        "GPano:FullPanoHeightPixels": 2 * half_height_px,
        "GPano:CroppedAreaImageWidthPixels": width_px,
        "GPano:CroppedAreaImageHeightPixels": height_px,
        "GPano:CroppedAreaLeftPixels": left_px % full_width_px,
        "GPano:CroppedAreaTopPixels": round(half_height_px + top_px),
        "vigie:FovWideDeg": f"{fov.wide:.6f}",
        "vigie:FovTeleDeg": f"{fov.tele:.6f}",
        "vigie:FovAspect": f"{fov.aspect:.6f}",
    }
    attributes = " ".join(f'{name}="{value}"' for name, value in values.items())
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" '
        f'xmlns:vigie="{NAMESPACE}" {attributes}/></rdf:RDF></x:xmpmeta>'
    )
    content = _XMP_ID + packet.encode("ascii")
    return _XMP_MARKER + (_LENGTH_BYTES + len(content)).to_bytes(_LENGTH_BYTES, "big") + content


def insert_segment(jpeg: bytes, segment: bytes) -> bytes:
    """Return the JPEG with a segment at its begin, after the one of JFIF, which has to be the first."""
    at = _SOI_BYTES
    if jpeg[at : at + _MARKER_BYTES] == _JFIF_MARKER:
        at += _MARKER_BYTES
        at += int.from_bytes(jpeg[at : at + _LENGTH_BYTES], "big")
    return jpeg[:at] + segment + jpeg[at:]
