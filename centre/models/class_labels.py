"""The classes of a model: `--labels`, by the project's labels. Pure."""

import re

from agent.base.errors import UserError
from agent.base.model import LABELS, Label
from agent.config.names import refuse_identifying

COCO_LABELS: dict[Label, int] = {
    "person": 0,
    "bicycle": 1,
    "car": 2,
    "motorcycle": 3,
    "bus": 5,
    "truck": 7,
}
"""Class numbers of models of COCO's 80 or 91 classes: its ids, less one."""
MAX_CLASS_NUMBER = 999
_ALLOWED = (
    f"coco, or {', '.join(LABELS)}, as LABEL=NUMBER with the model's class numbers from 0, "
    "or in the order of the classes"
)


def parse_labels(text: str) -> dict[Label, int]:
    """Return the class number of each label.

    Raises: UserError if a class is no road user, above all if it identifies people.
    """
    if text == "coco":
        return dict(COCO_LABELS)
    numbers: dict[Label, int] = {}
    for index, item in enumerate(text.split(",")):
        name, equals, number_text = item.strip().partition("=")
        label = _parse_label(name)
        if equals and not re.fullmatch(r"[0-9]{1,3}", number_text):
            raise UserError(
                f"--labels {item.strip()}: allowed: a class number from 0 to {MAX_CLASS_NUMBER}"
            )
        number = int(number_text) if equals else index
        if label in numbers or number in numbers.values():
            raise UserError(f"--labels {item.strip()}: allowed: each label and each number once")
        numbers[label] = number
    return numbers


def _parse_label(name: str) -> Label:
    for label in LABELS:
        if name == label:
            return label
    refuse_identifying("--labels", (name,))
    raise UserError(f"--labels {name!r}: no road user; allowed: {_ALLOWED}")
