"""scripts/model: which detections become labels, and which cells answer for a box."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts" / "model"
CAR, TRUCK = 2, 5


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def labels() -> ModuleType:
    return load_script("pseudo_labels")


@pytest.fixture(scope="module")
def views() -> ModuleType:
    return load_script("finetune_views")


def seen(labels: ModuleType, x: float, views: int, score: float, label: int = CAR) -> object:
    votes = np.zeros(6)
    votes[label] = score * views
    box = np.array([x, 0.0, x + 20, 20])
    names = {("nanodet", view) for view in range(views)}
    return labels.Candidate(box, score, names, votes, score * views)


def test_one_view_alone_is_no_label(labels: ModuleType) -> None:
    assert len(labels.label_frames([[seen(labels, 0, 1, 0.9)]])) == 0
    assert len(labels.label_frames([[seen(labels, 0, 2, 0.9)]])) == 1


def test_a_weak_detection_between_two_sure_ones_is_a_label(labels: ModuleType) -> None:
    sure, weak = (3, 0.7), (2, 0.35)
    frames = [[seen(labels, x, *how)] for x, how in ((0, sure), (2, weak), (4, sure))]
    assert labels.label_frames(frames)[:, 0].tolist() == [0, 1, 2]
    frames = [[seen(labels, x, *how)] for x, how in ((0, sure), (2, weak))]
    assert labels.label_frames(frames)[:, 0].tolist() == [0]


def test_the_class_is_the_vote_of_the_whole_track(labels: ModuleType) -> None:
    frames = [[seen(labels, x, 3, 0.7, label)] for x, label in ((0, TRUCK), (2, CAR), (4, TRUCK))]
    assert labels.label_frames(frames)[:, 5].tolist() == [TRUCK] * 3


def test_a_view_has_the_boxes_where_the_picture_has_the_road_users(
    views: ModuleType, tmp_path: Path
) -> None:
    rgb = np.zeros((2, 200, 300, 3), np.uint8)
    rgb[:, 80:140, 120:180] = 255
    rows = np.array([[0, 120, 80, 180, 140, CAR], [1, 120, 80, 180, 140, CAR]], float)
    np.savez(tmp_path / "clip.npz", frames=rgb, labels=rows)
    found = 0
    for seed in range(8):
        random = np.random.default_rng(seed)
        for picture, boxes in views.read_views(tmp_path / "clip.npz", 320, random):
            for x0, y0, x1, y1, label in boxes:
                inside = picture[round(y0) + 2 : round(y1) - 2, round(x0) + 2 : round(x1) - 2]
                assert inside.min() == 255
                assert label == CAR
                found += 1
    assert found > 12


def test_a_box_is_answered_for_by_cells_in_it(views: ModuleType) -> None:
    cells = views.Cells(320)
    assert len(cells.centres) == 40**2 + 20**2 + 10**2
    boxes = np.array([[40.0, 40, 80, 80, CAR], [200, 100, 310, 260, TRUCK]])
    owner = cells.assign(boxes)
    for number, box in enumerate(boxes):
        centres = cells.centres[owner == number]
        assert len(centres) > 0
        assert ((centres > box[:2]) & (centres < box[2:4])).all()
