"""The cameras of a version that is rehearsed: those whose detection differs from the one in force. Pure."""

from agent.base.clock import rfc3339
from agent.base.errors import UserError
from agent.capture.camera_source import CameraSource
from agent.config.configuration import DetectConfig
from agent.config.desired_config import DesiredRehearsal
from agent.config.desired_store import ConfigLayer
from agent.config_change.desired_message import ConfigSigner
from agent.config_change.second_signature import unpermitted_actions
from agent.config_change.start_config import StartConfig
from agent.rehearsal.rehearsal_stage import RehearsalRequest, RehearsedDetection
from agent.rehearsal.rehearsal_task import DetectionSide
from agent.reporting.rehearsal import RehearsedCamera


def make_request(
    current: StartConfig,
    new: StartConfig,
    layer: ConfigLayer,
    signers: tuple[ConfigSigner, ...],
    span: DesiredRehearsal,
) -> RehearsalRequest:
    """Return the rehearsal of a version on a span of footage.

    Raises: UserError if the detection of no camera differs, or a person may not configure one.
    """
    for refused in unpermitted_actions(current, layer, signers, ("configure",)):
        raise UserError(refused)
    before = {source.config.name: source for source in current.sources}
    cameras: list[RehearsedDetection] = []
    without: list[RehearsedCamera] = []
    for source in new.sources:
        name, old = source.config.name, before.get(source.config.name)
        if old is None or not _differs(old, source):
            continue
        reason = _obstacle(old) or _obstacle(source)
        if reason is not None:
            without.append(RehearsedCamera(camera=name, reason=reason))
        else:
            cameras.append(
                RehearsedDetection(
                    camera=name,
                    present=_side(old.config.detect),
                    proposed=_side(source.config.detect),
                )
            )
    if not cameras and not without:
        raise UserError(
            "rehearse: neither the scene, the model nor the rate of a camera differs from what is in force"
        )
    return RehearsalRequest(
        version=layer.version,
        digest=layer.digest or "",
        by=layer.by or "",
        viewer=signers[0].name,
        begin=rfc3339(span.begin),
        end=rfc3339(span.end),
        cameras=tuple(cameras),
        without=tuple(without),
    )


def _differs(old: CameraSource, new: CameraSource) -> bool:
    return _detection(old) != _detection(new)


def _detection(source: CameraSource) -> tuple[object, ...]:
    detect = source.config.detect
    return source.scene, source.scenes, detect.enabled, detect.model, detect.fps, detect.accelerator


def _obstacle(source: CameraSource) -> str | None:
    """Return why the detection of a camera cannot be rehearsed, or None."""
    detect = source.config.detect
    if not detect.enabled:
        return "its detection is off"
    if source.scene_error is not None:
        return "its scene cannot be read"
    if source.scenes is not None:
        return "it is on a head: its footage does not say at which preset it was recorded"
    if source.config.view_of is not None:
        return "it is a view of a fisheye camera, and has no footage of its own"
    if detect.accelerator is not None:
        return "an accelerator detects on it, which has no time for a rehearsal"
    return None


def _side(detect: DetectConfig) -> DetectionSide:
    return DetectionSide(model=detect.model, scene=detect.scene, fps=detect.fps)
