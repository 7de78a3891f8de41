"""agent.pipeline.camera_proof: a camera that was moved ends its proof, across restarts, until another one comes."""

from pathlib import Path

import numpy as np
import pytest

from agent.base.count_proof import CountProof, UnvalidatedCounts, ValidatedCounts
from agent.base.model import FrameResult, TrafficCounts
from agent.base.state_inventory import StateInventory
from agent.base.view_condition import ViewCondition, ViewState
from agent.detection.active_scene import FixedScene
from agent.detection.scene import Scene, SceneLine, scene_digest
from agent.pipeline.camera_proof import COUNT_PROOFS_DIR, CameraProof
from drivers.media import Point
from tests.count_proofs import MODEL_SHA256, count_proof, light_proof

SCENE = Scene(line=(SceneLine(name="stop", start=Point(0.1, 0.6), to=Point(0.9, 0.6)),))
OTHER = Scene(line=(SceneLine(name="stop", start=Point(0.1, 0.5), to=Point(0.9, 0.5)),))
PROOF = count_proof(
    light_proof("day"), light_proof("night", f1=0.9), scene_sha256=scene_digest(SCENE)
)
DAY_LUMA, NIGHT_LUMA = 128, 20


def minute(*, trusted: bool = True) -> TrafficCounts:
    return TrafficCounts(
        camera="north",
        begin_ns=0,
        end_ns=60_000_000_000,
        observed_s=60.0,
        trusted=trusted,
        untrusted_reasons=() if trusted else ("rain",),
        lines=(),
        zones=(),
        flows=(),
    )


def frame(luma: int = DAY_LUMA, state: ViewState = "good") -> FrameResult:
    return FrameResult(
        seq=0,
        t_ns=0,
        width_px=640,
        height_px=360,
        gate_luma=np.full((180, 320), luma, np.uint8),
        moving_ratio=0.0,
        tracks=(),
        inference_count=0,
        is_night=luma == NIGHT_LUMA,
        view=ViewCondition(state=state, since_ns=0, mean_luma=luma, sharpness=None),
    )


def open_proof(state_dir: Path, proof: CountProof | None = PROOF) -> CameraProof:
    opened = CameraProof("north", state_dir, proof)
    opened.begin_scene(FixedScene(SCENE).current())
    return opened


def state_of(proof: CameraProof, *, trusted: bool = True, model: str = MODEL_SHA256) -> str:
    """The reason why a minute is not validated, or its light and F1."""
    validation = proof.end_minute(minute(trusted=trusted), model, 10.0)
    if isinstance(validation, ValidatedCounts):
        return f"{validation.light} {validation.f1}"
    assert isinstance(validation, UnvalidatedCounts)
    return validation.reason


def test_a_minute_has_the_error_of_the_light_of_most_of_its_frames(tmp_path: Path) -> None:
    proof = open_proof(tmp_path)
    for luma in (DAY_LUMA, NIGHT_LUMA, NIGHT_LUMA):
        proof.observe(frame(luma), is_ground_stale=False)
    assert state_of(proof) == "night 0.9"
    proof.observe(frame(DAY_LUMA), is_ground_stale=False)
    assert state_of(proof) == "day 0.956"


def test_counts_that_are_not_to_be_trusted_are_not_validated(tmp_path: Path) -> None:
    assert state_of(open_proof(tmp_path), trusted=False) == "untrusted"


def test_a_proof_falls_with_another_scene_or_model_and_stands_again_with_the_validated_one(
    tmp_path: Path,
) -> None:
    proof = open_proof(tmp_path)
    proof.begin_scene(FixedScene(OTHER).current())
    assert state_of(proof) == "scene"
    proof.begin_scene(FixedScene(SCENE).current())
    assert state_of(proof) == "day 0.956"
    assert state_of(proof, model="cc" * 32) == "model"
    proof.replace(None)
    assert state_of(proof) == "no_proof"
    reasons = [getattr(one, "reason", None) for one in proof.declared(MODEL_SHA256, 10.0)]
    assert reasons == ["no_proof", "no_proof"]


@pytest.mark.parametrize("is_ground_stale", [False, True])
def test_a_camera_that_was_moved_ends_its_proof_until_another_one_comes(
    tmp_path: Path, *, is_ground_stale: bool
) -> None:
    proof = open_proof(tmp_path)
    proof.observe(
        frame(state="good" if is_ground_stale else "moved"), is_ground_stale=is_ground_stale
    )
    assert state_of(proof) == "aim"
    proof.observe(frame(), is_ground_stale=False)
    assert state_of(proof) == "aim"
    restarted = open_proof(tmp_path)
    assert state_of(restarted) == "aim"
    restarted.replace(count_proof(scene_sha256=scene_digest(SCENE), by="jonas"))
    assert state_of(restarted) == "day 0.956"
    restarted.replace(PROOF)
    assert state_of(restarted) == "aim"


@pytest.mark.parametrize("damage", ["missing", "another content"])
def test_damage_of_the_file_ends_the_proof_and_not_the_next_one(
    tmp_path: Path, damage: str
) -> None:
    StateInventory(tmp_path).add_present()
    proof = open_proof(tmp_path)
    proof.observe(frame(state="moved"), is_ground_stale=False)
    path = tmp_path / COUNT_PROOFS_DIR / "north.json"
    path.unlink()
    if damage == "another content":
        path.write_bytes(b"{}")
    damaged = open_proof(tmp_path)
    assert state_of(damaged) == "aim"
    damaged.replace(count_proof(scene_sha256=scene_digest(SCENE), by="jonas"))
    assert state_of(damaged) == "day 0.956"
