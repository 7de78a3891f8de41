"""Proof of counts: how right they were on labelled films of a camera's view, and whether that holds now. Pure.

The centre sends it in the desired configuration, so it has the signature of that. It holds for one model, one scene and
one aim of the camera.
"""

from typing import Annotated, Literal, TypeAlias, get_args

import msgspec

from agent.base.sha256 import Sha256
from agent.base.view_condition import Light
from drivers.int64 import Int64

LIGHTS: tuple[Light, ...] = get_args(Light)

ProofGap = Literal["no_proof", "model", "scene", "aim", "frame_rate", "light", "untrusted"]
"""Why counts are not validated.

no_proof   the centre has sent no proof for the camera
model      another model detects than the validated one
scene      another scene is in force than the validated one
aim        the camera was moved since the proof came
frame_rate fewer pictures a second are searched than were validated
light      no film in this light was validated
untrusted  the view of this minute does not show road users well enough: see `untrusted_reasons`
"""

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Number = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
ProofLine = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\x00-\x1f\x7f]{1,80}$(?!\n)",
        extra={"allowed": "one line of 1 to 80 characters"},
    ),
]
_Utc = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$(?!\n)",
        extra={"allowed": "a time in UTC, such as 2026-11-25T00:01:00.000Z"},
    ),
]


class LightProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The measured error in one light: F1 of the counts with its interval of 95 %, and what it was measured on."""

    light: Light
    f1: _Share
    f1_low: _Share
    f1_high: _Share
    clips: _Number
    crossings: _Number

    def __post_init__(self) -> None:
        """Raise ValueError if the F1 is not in its interval."""
        if not self.f1_low <= self.f1 <= self.f1_high:
            raise ValueError(
                f"f1 = {self.f1:g}: not from f1_low to f1_high; allowed: {self.f1_low:g} to {self.f1_high:g}"
            )


class CountProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The proof of the counts of one camera, written by `vigie validate`.

    `model_sha256` and `scene_sha256` are digests of what was validated, `detect_fps` the pictures a second that were
    searched, of the film with the most. `unverifiable_share` is the share of labels of which no person could be sure. `time` is that of the
    validation, and `by` the person who has made it.
    """

    view: ProofLine
    model_sha256: Sha256
    scene_sha256: Sha256
    detect_fps: Annotated[float, msgspec.Meta(ge=0.1, le=60)]
    unverifiable_share: _Share
    lights: Annotated[tuple[LightProof, ...], msgspec.Meta(min_length=1, max_length=len(LIGHTS))]
    time: _Utc
    by: ProofLine

    def __post_init__(self) -> None:
        """Raise ValueError if a light is there twice."""
        lights = [one.light for one in self.lights]
        if len(set(lights)) < len(lights):
            raise ValueError(f"lights: {lights[0]!r} twice; allowed: each light once")


class ValidatedCounts(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="validated"
):
    """The counts are as right as on the labelled films of this view in this light: F1 with its interval of 95 %.

    `unverifiable_share`, `time` and `by`: see CountProof.
    """

    light: Light
    f1: float
    f1_low: float
    f1_high: float
    clips: Int64
    crossings: Int64
    unverifiable_share: float
    time: str
    by: str


class UnvalidatedCounts(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="not_validated"
):
    """The error of the counts in this light is not known, for a reason."""

    light: Light
    reason: ProofGap


CountValidation: TypeAlias = ValidatedCounts | UnvalidatedCounts


class CountingConditions(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions under which a camera counts. `model_sha256` is None without a model, `scene_sha256` while the head moves."""

    model_sha256: Sha256 | None
    scene_sha256: Sha256 | None
    detect_fps: float
    has_moved: bool


MIN_RATE_RATIO = 0.95
"""With this part of the pictures a second of a proof it still holds: a stream of 9.97 is one of 10."""


def find_gap(proof: CountProof | None, conditions: CountingConditions) -> ProofGap | None:
    """Return why a proof does not hold under these conditions, None if it does."""
    if proof is None:
        return "no_proof"
    if proof.model_sha256 != conditions.model_sha256:
        return "model"
    if proof.scene_sha256 != conditions.scene_sha256:
        return "scene"
    if conditions.has_moved:
        return "aim"
    is_slower = conditions.detect_fps < MIN_RATE_RATIO * proof.detect_fps
    return "frame_rate" if is_slower else None


def count_validation(
    proof: CountProof | None, gap: ProofGap | None, light: Light
) -> CountValidation:
    """Return how right counts are in a light. `gap` is why the proof does not hold, if it does not."""
    if proof is None or gap is not None:
        return UnvalidatedCounts(light=light, reason=gap or "no_proof")
    found = next((one for one in proof.lights if one.light == light), None)
    if found is None:
        return UnvalidatedCounts(light=light, reason="light")
    return ValidatedCounts(
        light=light,
        f1=found.f1,
        f1_low=found.f1_low,
        f1_high=found.f1_high,
        clips=found.clips,
        crossings=found.crossings,
        unverifiable_share=proof.unverifiable_share,
        time=proof.time,
        by=proof.by,
    )
