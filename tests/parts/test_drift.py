"""agent.diagnostics.commissioning.drift and certificate: changes since a box was commissioned."""

import base64
import functools
import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.base.signed_manifest import BadManifest
from agent.capture.lens_aim import downscale, measure_aim
from agent.diagnostics.commissioning import certificate
from agent.diagnostics.commissioning.certificate import (
    CameraRecord,
    HeadRecord,
    InstallationRecord,
)
from agent.diagnostics.commissioning.drift import ConfigurationDrift, find_drifts
from drivers.media import Plane
from simulation.street.fixed_view import FixedView
from simulation.street.renderer import SceneConditions, StreetRenderer, bgr_to_planes

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
SIZE = (960, 540)
COLUMNS, ROWS = 480, 270
DAY = SceneConditions(night=False, rain=0.0, noise=2.0)
A, B = "a" * 64, "b" * 64


def street(begin_s: float, look: SceneConditions = DAY) -> list[Plane]:
    """Five pictures, a second apart."""
    painter = StreetRenderer(FixedView(*SIZE), look, 1)
    return [bgr_to_planes(painter.render(begin_s + n, n))[0] for n in range(5)]


def seen(pictures: list[Plane]) -> tuple[Plane, float | None]:
    """The median of small ones, and the focus, as a commissioning takes them."""
    planes = [downscale(picture, COLUMNS, ROWS) for picture in pictures]
    focus = sorted(measure_aim(picture).focus or 0.0 for picture in pictures)[2]
    return np.asarray(np.median(np.stack(planes), axis=0), np.uint8), focus


def shifted(pictures: list[Plane], share: float) -> list[Plane]:
    """The camera turned to one side."""
    step = round(SIZE[0] * share)
    wide = [cv2.copyMakeBorder(p, 0, 0, 0, step, cv2.BORDER_REFLECT) for p in pictures]
    return [np.asarray(p[:, step:], np.uint8) for p in wide]


def blurred(pictures: list[Plane], sigma_px: float) -> list[Plane]:
    return [np.asarray(cv2.GaussianBlur(p, (0, 0), sigma_px), np.uint8) for p in pictures]


def covered(pictures: list[Plane]) -> list[Plane]:
    return [np.asarray(np.full_like(p, 120), np.uint8) for p in pictures]


@functools.cache
def before() -> list[Plane]:
    return street(1.0)


@functools.cache
def later() -> list[Plane]:
    return street(41.0)


def camera(focus: float | None = 30.0, **changes: Any) -> CameraRecord:
    known: dict[str, Any] = {
        "name": "north",
        "picture": A,
        "reason": None,
        "width_px": COLUMNS,
        "height_px": ROWS,
        "focus": focus,
        "lean_deg": None,
        "exposure": "good",
        "masks": 1,
        "scenes": {"": A},
        "model": A,
        "preset": None,
    }
    return CameraRecord(**{**known, **changes})


def record(*cameras: CameraRecord, **changes: Any) -> InstallationRecord:
    known: dict[str, Any] = {
        "box": "pole-17",
        "site": "A street",
        "created_time": "2026-11-03T07:41:05Z",
        "clock_synced": True,
        "clock_source": "ntp",
        "technician": "amina",
        "public_key": PUBLIC,
        "version": "1",
        "config": A,
        "cameras": cameras or (camera(),),
        "heads": (),
        "connected": True,
        "centre_listening": True,
        "round_trip_ms": 20.0,
        "faults": (),
    }
    return InstallationRecord(**{**known, **changes})


def whats(found: list[ConfigurationDrift]) -> list[str]:
    return [one.kind for one in found]


@pytest.mark.parametrize(
    ("after", "what"),
    [
        pytest.param(later, [], id="other traffic"),
        pytest.param(
            lambda: street(20.0, SceneConditions(night=False, rain=0.6, noise=3.0)), [], id="rain"
        ),
        pytest.param(
            lambda: street(20.0, SceneConditions(night=True, rain=0.0, noise=4.0)), [], id="night"
        ),
        pytest.param(
            lambda: [np.asarray(p * 0.7 + 10, np.uint8) for p in later()], [], id="less light"
        ),
        pytest.param(lambda: shifted(later(), 0.005), [], id="it trembles in the wind"),
        pytest.param(lambda: shifted(later(), 0.015), ["moved"], id="turned by 1.5 percent"),
        pytest.param(lambda: shifted(later(), 0.05), ["moved"], id="turned by 5 percent"),
        pytest.param(lambda: shifted(later(), 0.25), ["moved"], id="turned by a quarter"),
        pytest.param(lambda: blurred(later(), 4.0), ["blurred"], id="out of focus"),
        pytest.param(lambda: blurred(later(), 12.0), ["blurred"], id="far out of focus"),
        pytest.param(lambda: covered(later()), ["blocked"], id="covered"),
        pytest.param(lambda: [np.asarray(p // 20, np.uint8) for p in later()], ["dark"], id="dark"),
        pytest.param(lambda: [np.full_like(p, 16) for p in later()], ["dark"], id="lens cap"),
    ],
)
def test_camera_faults_are_reported_and_traffic_and_weather_are_not(
    after: Callable[[], list[Plane]], what: list[str]
) -> None:
    plane_then, focus_then = seen(before())
    plane_now, focus_now = seen(after())
    found = list(
        find_drifts(
            record(camera(focus_then)),
            record(camera(focus_now)),
            {"north": plane_then},
            {"north": plane_now},
        )
    )
    assert whats(found) == what, found
    assert all(one.is_actionable for one in found)


def test_the_shift_of_a_view_is_reported() -> None:
    (found,) = find_drifts(
        record(), record(), {"north": seen(before())[0]}, {"north": seen(shifted(later(), 0.05))[0]}
    )
    assert str(found.message) == "the view has moved by -5.0% of its width and +0.0% of its height"


@functools.cache
def same() -> dict[str, Plane]:
    return {"north": seen(before())[0]}


@pytest.mark.parametrize(
    ("then", "now", "what"),
    [
        (record(), record(), []),
        (record(camera(lean_deg=0.5)), record(camera(lean_deg=3.0)), ["moved"]),
        (record(camera(lean_deg=0.5)), record(camera(lean_deg=1.0)), []),
        (record(camera(40.0)), record(camera(19.0)), ["blurred"]),
        (record(camera(40.0)), record(camera(None)), ["blurred"]),
        (record(camera(40.0)), record(camera(26.0)), []),
        (record(camera(None)), record(camera(40.0)), []),
        (record(camera(masks=2)), record(camera(masks=1)), ["masks"]),
        (record(camera(scenes={"": A})), record(camera(scenes={"": B})), ["scene"]),
        (record(camera(scenes={"gate": A})), record(camera(scenes={})), ["scene"]),
        (record(camera(model=B)), record(camera()), ["model"]),
        (record(camera(preset="gate")), record(camera(preset="tram")), ["not compared"]),
        (record(camera(), camera(name="south")), record(), ["camera"]),
        (record(), record(camera(), camera(name="south")), ["camera"]),
        (record(), record(connected=False), ["link"]),
        (record(), record(centre_listening=False), ["link"]),
        (record(connected=False), record(), []),
        (record(), record(clock_synced=False), ["clock"]),
        (record(), record(config=B), ["configuration"]),
        (record(), record(version="2"), ["software"]),
    ],
)
def test_a_changed_setting_is_reported(
    then: InstallationRecord, now: InstallationRecord, what: list[str]
) -> None:
    assert whats(list(find_drifts(then, now, same(), same()))) == what


def head(**presets: tuple[float, float, float]) -> HeadRecord:
    return HeadRecord(name="mast", presets=presets)


DEAF = HeadRecord(name="mast", presets=None)


@pytest.mark.parametrize(
    ("then", "now", "message"),
    [
        (head(gate=(1, 2, 0)), head(gate=(1.1, 2, 0)), []),
        (head(gate=(1, 2, 0)), head(gate=(4, 2, 0)), ["its preset gate is elsewhere"]),
        (head(gate=(1, 2, 0)), head(), ["its preset gate is gone"]),
        (head(), head(gate=(1, 2, 0)), ["its preset gate is new"]),
        (head(), DEAF, ["no answer"]),
        (DEAF, head(), []),
    ],
)
def test_the_presets_of_a_head_are_compared(
    then: HeadRecord, now: HeadRecord, message: list[str]
) -> None:
    found = list(find_drifts(record(heads=(then,)), record(heads=(now,)), same(), same()))
    assert [str(one.message) for one in found] == message


def test_a_camera_now_dark_is_a_drift_and_one_dark_before_is_a_note() -> None:
    (now,) = find_drifts(record(), record(camera(reason="CAM-02")), same(), {})
    assert (now.kind, str(now.message), now.is_actionable) == ("no picture", "CAM-02", True)
    (then,) = find_drifts(record(camera(reason="it was lent")), record(), {}, same())
    assert (then.kind, then.is_actionable) == ("not compared", False)


PICTURE = b"a picture"


def test_a_record_is_read_back_verified_and_the_newest_is_found(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="never commissioned"):
        certificate.find_newest(tmp_path)
    digest = hashlib.sha256(PICTURE).hexdigest()
    given = record(camera(picture=digest))
    for name in ("20261103T074105.000001Z", "20261104T074105.000001Z"):
        certificate.write_record(tmp_path, name, given, {"north": PICTURE}, KEY.sign)
    folder = certificate.find_newest(tmp_path)
    assert folder.name == "20261104T074105.000001Z"
    assert certificate.read_verified(folder, PUBLIC) == (given, {"north": PICTURE})
    with pytest.raises(BadManifest, match="not the known key"):
        certificate.read_verified(folder, "A" * 43 + "=")


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("record.json", b"{}", "record.json: "),
        ("record.json", None, "record.json: No such file"),
        ("record.json.sig", b"0" * 64, "is not the signature"),
        ("record.json.sig", None, "record.json.sig: No such file"),
        ("north.png", b"another", "north.png: was changed"),
        ("north.png", None, "north.png: No such file"),
    ],
)
def test_a_changed_record_is_refused(
    tmp_path: Path, file: str, data: bytes | None, message: str
) -> None:
    digest = hashlib.sha256(PICTURE).hexdigest()
    folder = certificate.write_record(
        tmp_path, "20261103", record(camera(picture=digest)), {"north": PICTURE}, KEY.sign
    )
    (folder / file).unlink()
    if data is not None:
        (folder / file).write_bytes(data)
    with pytest.raises(BadManifest, match=message):
        certificate.read_verified(folder)


def test_a_record_with_changed_text_fails_its_signature(tmp_path: Path) -> None:
    folder = certificate.write_record(
        tmp_path, "20261103", record(camera(picture=None)), {}, KEY.sign
    )
    fields = msgspec.json.decode((folder / "record.json").read_bytes())
    (folder / "record.json").write_bytes(msgspec.json.encode({**fields, "technician": "omar"}))
    with pytest.raises(BadManifest, match="is not the signature"):
        certificate.read_verified(folder)


def video(path: Path) -> list[Plane]:
    """The luma of every fifteenth picture of a clip, forty at the most."""
    with av.open(str(path)) as container:
        frames = itertools.islice(container.decode(video=0), 0, 600, 15)
        return [
            np.asarray(frame.to_ndarray(format="yuv420p")[: frame.height], np.uint8)
            for frame in frames
        ]


UNSURE = "intel_car-detection.mp4"
"""It shows little else than a passing car."""


@pytest.mark.shared
@pytest.mark.slow
def test_on_real_streets_an_unchanged_view_has_no_drift_and_a_shift_is_measured(
    shared: Path,
) -> None:
    clips = sorted(
        path for path in (shared / "footage").glob("*") if path.suffix in (".mp4", ".avi")
    )
    judged = 0
    for path in clips:
        pictures = video(path)
        if len(pictures) < 10 or pictures[0].shape[0] < ROWS:
            continue
        judged += 1
        then, later = pictures[:5], pictures[-5:]
        step = round(then[0].shape[1] * 0.03)
        for turn, reported in ((0, False), (step, path.name != UNSURE)):
            before, focus_then = seen([np.asarray(p[:, : p.shape[1] - step]) for p in then])
            after, focus_now = seen(
                [np.asarray(p[:, turn : p.shape[1] - step + turn]) for p in later]
            )
            found = list(
                find_drifts(
                    record(camera(focus_then)),
                    record(camera(focus_now)),
                    {"north": before},
                    {"north": after},
                )
            )
            assert whats(found) == ["moved"] * reported, (path.name, found)
            if reported:
                share = float(str(found[0].message).split("moved by ")[1].split("%")[0]) / 100
                assert share == pytest.approx(-step / (then[0].shape[1] - step), abs=0.002)
    assert judged > 15
