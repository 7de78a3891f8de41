"""Proof of the counts of one camera: whether it holds for the model, the scene and the aim in force."""

import logging
import threading
from pathlib import Path

import msgspec

from agent.base.count_proof import (
    LIGHTS,
    CountingConditions,
    CountProof,
    CountValidation,
    count_validation,
    find_gap,
)
from agent.base.damaged_file import set_aside
from agent.base.model import FrameResult, TrafficCounts
from agent.base.sha256 import Sha256, sha256_hex
from agent.base.state_file import DamagedStateFile, StateFile
from agent.base.state_inventory import StateInventory
from agent.detection.active_scene import SceneInForce
from agent.detection.scene import scene_digest
from agent.detection.span_light import SpanLight

log = logging.getLogger(__name__)

COUNT_PROOFS_DIR = "count_proofs"
"""Folder of the proofs that have fallen, in the state folder."""


class FallenProof(msgspec.Struct, frozen=True, kw_only=True):
    """The digest of a proof that has fallen because the camera was moved."""

    proof_sha256: Sha256


class CameraProof:
    """The proof of one camera, and the light of the present minute.

    A camera that was moved ends its proof for good, across restarts: another proof has to come. The detect thread calls
    `begin_scene`, `observe` and `end_minute`; the rest may be called from any thread.
    """

    def __init__(self, camera: str, state_dir: Path, proof: CountProof | None) -> None:
        self._camera = camera
        self._file = StateFile(
            state_dir / COUNT_PROOFS_DIR / f"{camera}.json",
            FallenProof,
            inventory=StateInventory(state_dir),
        )
        self._lock = threading.Lock()
        self._scene_sha256: Sha256 | None = None
        self._light = SpanLight()
        self._proof: CountProof | None = None
        self._has_moved = False
        self.replace(proof)

    def replace(self, proof: CountProof | None) -> None:
        """Use another proof, or none. One that has fallen before stays fallen; so does the first after a damage of the file."""
        with self._lock:
            self._proof = proof
            self._has_moved = proof is not None and self._has_fallen(proof)

    def begin_scene(self, current: SceneInForce) -> None:
        """Count by another scene."""
        self._scene_sha256 = None if current.scene is None else scene_digest(current.scene)

    def observe(self, result: FrameResult, *, is_ground_stale: bool) -> None:
        """Take a frame: its light, and whether the camera was moved."""
        self._light.observe(result)
        if is_ground_stale or (result.view is not None and result.view.state == "moved"):
            self._end()

    def end_minute(
        self, counts: TrafficCounts, model_sha256: Sha256 | None, detect_fps: float
    ) -> CountValidation:
        """Return how right the counts of the minute that is over are in its light."""
        light = self._light.end()
        proof = self._proof
        gap = find_gap(proof, self._conditions(model_sha256, detect_fps))
        if gap is None and not counts.trusted:
            gap = "untrusted"
        return count_validation(proof, gap, light)

    def declared(
        self, model_sha256: Sha256 | None, detect_fps: float
    ) -> tuple[CountValidation, ...]:
        """Return how right counts are in each light."""
        proof = self._proof
        gap = find_gap(proof, self._conditions(model_sha256, detect_fps))
        return tuple(count_validation(proof, gap, light) for light in LIGHTS)

    def _conditions(self, model_sha256: Sha256 | None, detect_fps: float) -> CountingConditions:
        return CountingConditions(
            model_sha256=model_sha256,
            scene_sha256=self._scene_sha256,
            detect_fps=detect_fps,
            has_moved=self._has_moved,
        )

    def _end(self) -> None:
        with self._lock:
            if self._proof is None or self._has_moved:
                return
            self._has_moved = True
            log.warning("camera %s: was moved: its counts are not validated any more", self._camera)
            self._store(self._proof)

    def _has_fallen(self, proof: CountProof) -> bool:
        try:
            fallen = self._file.read_strictly()
        except DamagedStateFile as error:
            log.error("camera %s: its counts are not validated: %s", self._camera, error)
            set_aside(self._file.path, error)
            self._store(proof)
            return True
        return fallen is not None and fallen.proof_sha256 == _digest(proof)

    def _store(self, proof: CountProof) -> None:
        """Store that a proof has fallen."""
        try:
            self._file.write(FallenProof(proof_sha256=_digest(proof)))
        except OSError as error:
            log.error("camera %s: the end of its proof cannot be stored: %s", self._camera, error)


def _digest(proof: CountProof) -> Sha256:
    return sha256_hex(msgspec.json.encode(proof, order="sorted"))
