"""A proof of counts for tests."""

from typing import Any

from agent.base.count_proof import CountProof, LightProof
from agent.base.view_condition import Light

MODEL_SHA256, SCENE_SHA256 = "aa" * 32, "bb" * 32


def light_proof(light: Light = "day", **fields: Any) -> LightProof:
    known = {"f1": 0.956, "f1_low": 0.896, "f1_high": 0.982, "clips": 7, "crossings": 89}
    return LightProof(light=light, **(known | fields))


def count_proof(*lights: LightProof, **fields: Any) -> CountProof:
    known = {
        "view": "gate, from the mast",
        "model_sha256": MODEL_SHA256,
        "scene_sha256": SCENE_SHA256,
        "detect_fps": 10.0,
        "unverifiable_share": 0.114,
        "time": "2026-12-01T08:00:00.000Z",
        "by": "amina",
    }
    return CountProof(lights=lights or (light_proof(),), **(known | fields))
