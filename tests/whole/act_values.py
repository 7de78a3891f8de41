"""Values of the acts of the page at the pole: texts that the console prints too, receipts, pictures."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.recording.custody.receipts import ServiceAction, parse_line
from drivers.masking import MASK_LUMA


def receipts(folder: Path) -> list[object]:
    return [
        parse_line(line).receipt.body
        for file in sorted((folder / "state" / "custody").glob("*.chain"))
        for line in file.read_bytes().splitlines()
    ]


def page_actions(folder: Path) -> list[str]:
    """The technician's actions at the page, in the custody log."""
    bodies = [body for body in receipts(folder) if isinstance(body, ServiceAction)]
    assert {body.by for body in bodies if body.action.startswith("page: ")} <= {"amina"}
    return [
        body.action.removeprefix("page: ") for body in bodies if body.action.startswith("page: ")
    ]


def is_painted(jpeg: bytes, rows: slice, columns: slice) -> bool:
    """Whether a part of a picture has nothing but the paint of masks."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    part = image[rows, columns].astype(int)
    return bool(part.max() - part.min() < 8 and part.max() < MASK_LUMA + 8)


def comparable(text: str) -> str:
    """A text without its line breaks, and with # for each number: those of two moments differ."""
    joined = " ".join(re.sub("[\u2068\u2069\u00a0]", " ", text).split())
    return re.sub(r"[+-]?[0-9]+([.,][0-9]+)?", "#", joined)


def check_texts(values: Sequence[Any]) -> list[str]:
    results = [result for value in values for result in value["results"]]
    return [result["message"] for result in results] + [result["subject"] for result in results]


CONTRACT: tuple[tuple[str, str, dict[str, Any], Callable[[list[Any]], list[str]]], ...] = (
    ("check 4 8 9 10 13", "check", {"numbers": [4, 8, 9, 10, 13]}, check_texts),
    ("net", "net", {}, check_texts),
    (
        "status",
        "status",
        {},
        lambda values: [row["label"] for row in values[0]["rows"]] + values[0]["problems"],
    ),
    (
        "faults",
        "faults",
        {},
        lambda values: [
            fault[key]
            for fault in values[0]["faults"]
            for key in ("code", "severity", "title", "subject", "detail", "advice")
        ],
    ),
    (
        "faults CAM-01",
        "fault",
        {"code": "CAM-01"},
        lambda values: [values[0][key] for key in ("title", "means", "at_box", "at_centre")],
    ),
    ("mqtt ping 2", "mqtt_ping", {"count": 2}, lambda values: [v["subject"] for v in values]),
    ("ptz mast status", "heads", {}, lambda values: [values[0]["heads"][0]["text"]]),
    ("camera north", "picture", {"camera": "north"}, lambda values: [values[0]["level"]["text"]]),
    ("config", "trial", {}, lambda values: [values[0]["text"] if values[0] else ""]),
)
"""The line at the console, the act of the page with its arguments, and its texts, which the console prints too."""


def mean(jpeg: bytes) -> float:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return float(image.mean())


def photo_of_a_phone() -> bytes:
    """A JPEG with EXIF data, larger than a record takes."""
    image = np.random.default_rng(3).integers(0, 255, (75, 100, 3)).astype(np.uint8)
    large = cv2.resize(image, (2000, 1500), interpolation=cv2.INTER_CUBIC)
    jpeg = bytes(cv2.imencode(".jpg", large)[1].tobytes())
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\0 33.5883 N 7.6114 W"
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
