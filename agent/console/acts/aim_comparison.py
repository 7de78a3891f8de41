"""Aim of one camera compared with the newest as-installed certificate: the shift of the view, and how to undo it."""

import base64
import math
from collections.abc import Iterator

import cv2
import msgspec
import numpy as np

from agent.base.device_identity import DeviceIdentity
from agent.base.message import Message, Text
from agent.base.signed_manifest import BadManifest
from agent.capture.lens_aim import LensAim
from agent.console.acts.aiming import head_of, preset_of
from agent.console.camera_preview import CameraPreview, load_source
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.detection.view_shift import ViewShift, measure_shift
from agent.diagnostics.commissioning import certificate
from agent.diagnostics.commissioning.certificate import CameraRecord, InstallationRecord
from agent.diagnostics.commissioning.drift import (
    DRIFT_TITLES,
    INFORMATIONAL_KINDS,
    DriftKind,
    find_view_drifts,
)
from agent.diagnostics.commissioning.session import PREVIEW_HEIGHT_PX, PREVIEW_WIDTH_PX
from agent.ptz.motion.field_of_view import horizontal_fov_deg
from drivers.errors import MaskError
from drivers.masking import MaskPainter
from drivers.media import Plane

PICTURE_TIMEOUT_S = 10.0


class Reference(msgspec.Struct, frozen=True):
    """A camera in the newest certificate, whose signature was checked: its record and its picture in grey.

    The masks in force are painted over it: a picture from before a mask must not show what the mask hides.
    """

    certificate: InstallationRecord
    camera: CameraRecord
    plane: Plane


class CertificateInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The as-installed certificate that a view is compared with."""

    time: str
    technician: str


class AimComparison(msgspec.Struct, frozen=True, kw_only=True):
    """A camera's view now and then. `kind` and `is_good` are those of `vigie commission --compare`.

    `shift_x` and `shift_y` are the shares of the picture by which the view has moved to the right and down, None if
    that cannot be measured. `pan_deg` (to the right), `tilt_deg` (up) and `roll_deg` (clockwise, seen from behind) are
    the turns that undo it; they are estimates, and None without a field of view or upright lines.
    """

    camera: str
    certificate: CertificateInfo
    kind: DriftKind | None
    is_good: bool | None
    shift_x: float | None
    shift_y: float | None
    pan_deg: float | None
    tilt_deg: float | None
    roll_deg: float | None
    lines: tuple[Text, ...]


def read_reference(context: ConsoleContext, camera: str) -> Reference:
    """Return a camera's view in the newest certificate. Raises ConsoleError."""
    identity = DeviceIdentity.load_existing(context.state_dir, "commission")
    if identity is None:
        raise ConsoleError(Message("this box was never commissioned"))
    public_key = base64.b64encode(identity.public_key_raw).decode()
    try:
        folder = certificate.find_newest(context.state_dir)
        record, pictures = certificate.read_verified(folder, public_key)
    except BadManifest as error:
        raise ConsoleError(str(error)) from error
    camera_record = next((one for one in record.cameras if one.name == camera), None)
    if camera_record is None or camera not in pictures:
        raise ConsoleError(
            Message(
                "the certificate of {time} has no picture of camera {camera}",
                time=record.created_time,
                camera=camera,
            )
        )
    plane = cv2.imdecode(np.frombuffer(pictures[camera], np.uint8), cv2.IMREAD_GRAYSCALE)
    if plane is None:
        raise ConsoleError(Message("{name}: is not a picture", name=f"{camera}.png"))
    return Reference(
        record, camera_record, _paint_masks(context, camera_record, np.asarray(plane, np.uint8))
    )


def _paint_masks(context: ConsoleContext, camera: CameraRecord, plane: Plane) -> Plane:
    """Return a picture of a certificate with the masks in force for its view. Raises ConsoleError."""
    try:
        source = load_source(context.config_path, camera.name, context.clock)
        if source.fisheye_masks:
            raise ConsoleError(
                Message(
                    "{camera}: a picture of a view is not shown again while its fisheye camera has masks",
                    camera=camera.name,
                )
            )
        painter = MaskPainter(source.masks_at(camera.preset or ""), f"camera {camera.name!r}")
        chroma = np.zeros([(size + 1) // 2 for size in plane.shape], np.uint8)
        return painter.paint_planes((plane, chroma, chroma))[0]
    except MaskError as error:
        raise ConsoleError(str(error), code="MSK-01") from error


def compare_aim(context: ConsoleContext, camera: str, preview: CameraPreview) -> AimComparison:
    """Compare the next picture of a camera with its reference. Raises ConsoleError."""
    reference = read_reference(context, camera)
    picture = preview.read(PICTURE_TIMEOUT_S, (PREVIEW_WIDTH_PX, PREVIEW_HEIGHT_PX))
    if picture is None:
        raise ConsoleError(
            Message("no picture came within {timeout_s:.0f} s", timeout_s=PICTURE_TIMEOUT_S)
        )
    current = _record_now(context, reference.camera, picture.aim)
    drift = next(find_view_drifts(reference.camera, current, reference.plane, picture.luma), None)
    shift = (
        measure_shift(reference.plane, picture.luma)
        if reference.plane.shape == picture.luma.shape and reference.camera.preset == current.preset
        else None
    )
    pan_deg, tilt_deg = _correction_deg(context, camera, shift)
    then_deg, now_deg = reference.camera.lean_deg, current.lean_deg
    roll_deg = None if then_deg is None or now_deg is None else round(now_deg - then_deg, 1)
    return AimComparison(
        camera=camera,
        certificate=CertificateInfo(
            time=reference.certificate.created_time, technician=reference.certificate.technician
        ),
        kind=None if drift is None else drift.kind,
        is_good=True if drift is None else None if drift.kind in INFORMATIONAL_KINDS else False,
        shift_x=None if shift is None else round(shift.x, 4),
        shift_y=None if shift is None else round(shift.y, 4),
        pan_deg=pan_deg,
        tilt_deg=tilt_deg,
        roll_deg=roll_deg,
        lines=(
            Message("{kind}: {message}", kind=DRIFT_TITLES[drift.kind], message=drift.message)
            if drift is not None
            else Message("the view is as in the certificate"),
            *_correction_lines(shift, pan_deg, tilt_deg, roll_deg),
        ),
    )


def _record_now(context: ConsoleContext, old: CameraRecord, aim: LensAim) -> CameraRecord:
    return msgspec.structs.replace(
        old,
        focus=aim.focus,
        lean_deg=aim.lean_deg,
        preset=preset_of(context, old.name),
    )


def _correction_deg(
    context: ConsoleContext, camera: str, shift: ViewShift | None
) -> tuple[float | None, float | None]:
    """Return the turns to the right and up that undo a shift, or None without a field of view."""
    head = head_of(context, camera)
    if shift is None or head is None or head.fov_deg is None:
        return None, None
    report = context.live_report()
    zooms = [] if report is None else [one.zoom for one in report.heads if one.name == head.name]
    fov_deg = horizontal_fov_deg(head.fov_deg, next(iter(zooms), None) or 0.0)
    width = 2 * math.tan(math.radians(fov_deg / 2))
    # The view moves to the right if the camera turns to the left, and down if it tilts up.
    pan_deg = math.degrees(math.atan(shift.x * width))
    tilt_deg = -math.degrees(math.atan(shift.y * width / head.fov_deg.aspect))
    return round(pan_deg, 2), round(tilt_deg, 2)


def _correction_lines(
    shift: ViewShift | None,
    pan_deg: float | None,
    tilt_deg: float | None,
    roll_deg: float | None,
) -> Iterator[Message]:
    if shift is None:
        yield Message("the shift of the view cannot be measured")
    elif pan_deg is None or tilt_deg is None:
        yield Message(
            "shift: {shift_x:+.1%} of the width, {shift_y:+.1%} of the height; degrees are unknown "
            "without the field of view",
            shift_x=shift.x,
            shift_y=shift.y,
        )
    else:
        yield Message(
            "to undo it, turn {pan_deg:+.1f} degrees to the right and {tilt_deg:+.1f} up (estimated by "
            "the field of view)",
            pan_deg=pan_deg,
            tilt_deg=tilt_deg,
        )
    if roll_deg is not None:
        yield Message(
            "upright lines lean by {roll_deg:+.1f} degrees more to the right than then",
            roll_deg=roll_deg,
        )
