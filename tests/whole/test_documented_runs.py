"""The picture and the transcript of the README are those of today's program: `make test-pictures`."""

import json
import os
import re
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.base.model import BoundingBox
from agent.detection.geometry import iou
from centre.demo import clip
from centre.demo.screen import format_count
from centre.demo.video_source import SCENES_FOLDER
from centre.replay import ReplayRequest, replay
from scripts import demo_transcript
from scripts.pictures import HERO_S
from simulation.street.fixed_view import FixedView, truth_boxes
from tests.whole.drawn_clip import FPS, write_street_clip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("VIGIE_PICTURES") != "compared",
        reason="replays two long films: make test-pictures",
    ),
]


def test_the_picture_of_the_readme_misses_no_road_user(tmp_path: Path) -> None:
    film, tracks = tmp_path / "street.mp4", tmp_path / "tracks.jsonl"
    write_street_clip(film, HERO_S, 1280, 720)
    words = [
        "--scene",
        str(SCENES_FOLDER / "street.toml"),
        "--events",
        str(tmp_path / "events"),
        "--tracks",
        str(tracks),
    ]
    assert main(["replay", str(film), *words]) == 0
    last_s = HERO_S - 1 / FPS
    shown = [json.loads(line) for line in tracks.read_text().splitlines()]
    tracked = [BoundingBox(*one["box"]) for one in shown if one["t_s"] == round(last_s, 1)]
    street = truth_boxes(1, last_s, FixedView(1280, 720))
    visible = [BoundingBox(box.x, box.y, box.w, box.h) for box in street if box.hidden < 0.6]
    assert len(visible) > 8
    assert [box for box in visible if max(iou(box, one) for one in tracked) < 0.3] == []
    assert len(tracked) == len(visible)
    events = [json.loads(line)["data"] for line in (tmp_path / "events").read_text().splitlines()]
    assert "stopped" in [one.get("kind") for one in events]


@pytest.mark.shared
def test_the_program_counts_in_the_demos_video_what_the_transcript_says(
    shared: Path, tmp_path: Path
) -> None:
    """By a replay: on a busy machine the demo's box sheds detection."""
    documented = demo_transcript.OUTPUT.read_text(encoding="utf-8")
    video = tmp_path / "vtest.mp4"
    source = shared / "footage" / "opencv_vtest.avi"
    clip.transcode_to_h264(source, video, lambda _step, _done: None)
    scene, events = SCENES_FOLDER / "vtest.toml", tmp_path / "events.jsonl"
    summary = replay(ReplayRequest(clip=video, scene=scene, events=events))
    lines = {
        (line.line, f"{format_count(label, number)} {line.direction}")
        for line in summary.line_counts
        for label, number in line.counts.items()
    }
    assert lines == set(re.findall(r"^Line '(.*)' +(.*)$", documented, re.MULTILINE))
    kinds = re.findall(r"^Event +(\d+) x (\w+):", documented, re.MULTILINE)
    assert summary.event_counts == {kind: int(number) for number, kind in kinds}
