"""The proof of a camera's counts, from the result of their validation. Pure."""

from agent.base.count_proof import LIGHTS, CountProof, LightProof
from agent.base.errors import UserError
from agent.detection.scene import Scene, scene_digest
from centre.validate.report import ValidationReport


def make_proof(report: ValidationReport, scene: Scene, detect_fps: float, by: str) -> CountProof:
    """Return the proof of the counts of the camera with this scene.

    All clips are of its view. Raises: UserError if they show no crossing that a person was sure of.
    """
    model = report.model
    lights = tuple(
        LightProof(
            light=light,
            f1=round(row.loose.f1, 4),
            f1_low=round(row.loose.f1_interval[0], 4),
            f1_high=round(row.loose.f1_interval[1], 4),
            clips=row.clips,
            crossings=row.loose.hits + row.loose.misses,
        )
        for light in LIGHTS
        for row in model.rows
        if (row.grouping, row.name) == ("light", light) and row.loose.hits + row.loose.misses
    )
    if not lights:
        raise UserError(
            "proof: no crossing is sure and in the middle of its clip; allowed: one or more"
        )
    return CountProof(
        view=model.clips[0].view,
        model_sha256=model.sha256,
        scene_sha256=scene_digest(scene),
        detect_fps=detect_fps,
        unverifiable_share=report.unverifiable_share,
        lights=lights,
        time=report.time,
        by=by,
    )
