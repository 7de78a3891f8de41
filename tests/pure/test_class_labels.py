"""centre.models.class_labels: a model of one's own has classes of road users alone."""

import pytest

from agent.base.errors import UserError
from agent.base.model import LABELS
from agent.config.names import refuse_identifying
from centre.models.class_labels import parse_labels


def test_coco_names_its_six_classes_of_road_users() -> None:
    labels = parse_labels("coco")
    assert set(labels) == set(LABELS)
    assert (labels["person"], labels["bus"], labels["truck"]) == (0, 5, 7)


def test_labels_have_numbers_or_the_order_of_the_classes() -> None:
    assert parse_labels("person=3, car=0") == {"person": 3, "car": 0}
    assert parse_labels("car,person") == {"car": 0, "person": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dog=16", r"^--labels 'dog': no road user; allowed: coco, or person, bicycle, "),
        ("", "no road user"),
        ("car=-1", "allowed: a class number from 0 to 999$"),
        ("car=1000", "allowed: a class number from 0 to 999$"),
        ("car=²", "allowed: a class number from 0 to 999$"),
        ("car=1,bus=1", "^--labels bus=1: allowed: each label and each number once$"),
        ("car,car", "each label and each number once"),
        (
            "person,face",
            r"^--labels 'face': identifies people; allowed: models of road users alone$",
        ),
        ("license_plate=0", "identifies people"),
        ("Number-Plate=0", "identifies people"),
        ("facialExpression", "identifies people"),
        ("anpr", "identifies people"),
    ],
)
def test_other_classes_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_labels(text)


@pytest.mark.parametrize("name", ["yolox_nano", "street-surface", "interface2", "template"])
def test_harmless_names_are_not_refused(name: str) -> None:
    refuse_identifying("FILE", (name,))
