"""scripts/model/ssd_road_users.py: the default model is the published one, cut to road users."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from agent.base.model import LABELS
from agent.detection.model_card import load_card, read_verified_model

SCRIPT = Path(__file__).parents[2] / "scripts" / "model" / "ssd_road_users.py"
MODEL = "ssdlite_mobilenet_v2"
UNCUT = "ssdlite_mobilenet_v2_coco_uint8_calstreet.tflite"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ssd_road_users", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_shipped_model_is_cut_already_and_its_card_has_the_scripts_numbers(
    script: ModuleType,
) -> None:
    card = load_card(MODEL)
    content = read_verified_model(card)
    assert script.cut_model(content) == content
    assert card.labels == {label: number for number, label in enumerate(script.ROAD_USERS)}
    assert set(card.labels) == set(LABELS)


@pytest.mark.shared
def test_the_shipped_model_is_the_published_one_cut(script: ModuleType, shared: Path) -> None:
    uncut = (shared / "models" / UNCUT).read_bytes()
    cut = script.cut_model(uncut)
    assert cut == read_verified_model(load_card(MODEL))
    picture = np.random.default_rng(1).integers(0, 255, (1, 300, 300, 3), np.uint8)
    columns = list(script.ROAD_USERS.values())
    expected, scores = (_class_scores(model, picture) for model in (uncut, cut))
    assert scores.shape == (1, 1917, 6)
    np.testing.assert_allclose(scores, expected[..., columns], atol=1e-6)


def _class_scores(content: bytes, picture: np.ndarray) -> np.ndarray:
    """Return the class scores before the suppression."""
    with pytest.warns(UserWarning, match="for debugging"):
        runtime = Interpreter(
            model_content=content, num_threads=1, experimental_preserve_all_tensors=True
        )
    runtime.allocate_tensors()
    runtime.set_tensor(runtime.get_input_details()[0]["index"], picture)
    runtime.invoke()
    (index,) = (d["index"] for d in runtime.get_tensor_details() if d["name"] == "Sigmoid1")
    return np.asarray(runtime.get_tensor(index))
