"""The project holds no model, package or field that identifies a person."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from agent.base.model import LABELS

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "agent" / "detection" / "models"

IDENTITY = re.compile(
    r"(?i)(?<!inter)(?<!sur)face|facial|biometr|licen[cs]e_?plate|number_?plate|anpr|alpr|re_?id(?![a-z])|embedding"
    r"|gait|iris|insightface|dlib|deepface|easyocr|tesseract|paddleocr"
)


def test_labels_are_road_users_and_nothing_else() -> None:
    assert set(LABELS) == {"person", "bicycle", "motorcycle", "car", "bus", "truck"}


def test_every_model_has_a_card_and_detects_road_users_only() -> None:
    cards = {card.stem: tomllib.loads(card.read_text()) for card in MODELS.glob("*.toml")}
    files = {file.stem for file in MODELS.glob("*.tflite")}
    assert files
    assert files == set(cards)
    for card in cards.values():
        assert set(card["labels"]) <= set(LABELS)


@pytest.mark.parametrize("file", ["pyproject.toml", "requirements.lock"])
def test_no_identification_package_is_required(file: str) -> None:
    names = re.findall(r"(?m)^\s*\"?([A-Za-z0-9_.-]+)\s*(?:==|>=|<|\[)", (ROOT / file).read_text())
    assert names
    assert [name for name in names if IDENTITY.search(name)] == []


def test_no_field_function_or_class_names_an_identity() -> None:
    named: list[str] = []
    for source in [
        *ROOT.glob("agent/**/*.py"),
        *ROOT.glob("drivers/**/*.py"),
        *ROOT.glob("simulation/**/*.py"),
    ]:
        for node in ast.walk(ast.parse(source.read_text())):
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    named.append(name)
                case ast.AnnAssign(target=ast.Name(id=name)):
                    named.append(name)
                case _:
                    pass
    assert named
    assert [name for name in named if IDENTITY.search(name)] == []
