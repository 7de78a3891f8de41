"""Ground calibration in Python and in the scene editor's JavaScript, on the same vectors."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.vectors.ground_vectors import FOLDER, HEIGHT_PX, WIDTH_PX, describe

MODULE = Path(__file__).parents[2] / "agent" / "scene_editor" / "ground.js"
RUNNER = Path(__file__).parent / "ground_runner.mjs"
TIMEOUT_S = 120
VECTORS = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]
ANSWERS = ("error", "plane", "points", "places", "lines", "polygons")


def assert_same(found: Any, expected: Any, tolerance: float, path: str) -> None:
    """Compare JSON, numbers within a tolerance: absolute in metres and shares, or of their size."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), path
        for key, value in expected.items():
            assert_same(found[key], value, tolerance, f"{path}.{key}")
    elif isinstance(expected, list | tuple):
        assert isinstance(found, Sequence), path
        assert len(found) == len(expected), path
        for index, value in enumerate(expected):
            assert_same(found[index], value, tolerance, f"{path}[{index}]")
    elif isinstance(expected, float) and isinstance(found, float | int):
        assert found == pytest.approx(expected, rel=tolerance, abs=tolerance), path
    else:
        assert found == expected, path


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_python_passes(vector: dict[str, Any]) -> None:
    found = describe(vector["name"], vector["ground"])
    for key in ANSWERS:
        assert_same(found.get(key), vector.get(key), vector["tolerance_m"], key)


def test_the_editor_passes() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node: make setup-test")
    done = subprocess.run(
        [node, str(RUNNER), MODULE.as_uri()],
        input=json.dumps({"vectors": VECTORS, "width_px": WIDTH_PX, "height_px": HEIGHT_PX}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    for vector, found in zip(VECTORS, json.loads(done.stdout), strict=True):
        for key in ANSWERS:
            path = f"{vector['name']}.{key}"
            assert_same(found.get(key), vector.get(key), vector["tolerance_m"], path)


def test_the_vectors_have_refusals_and_planes() -> None:
    refused = [vector["name"] for vector in VECTORS if vector["error"]]
    assert len(refused) >= 15
    assert len(VECTORS) - len(refused) >= 8
