"""The transcripts of the demo in README.md and docs/demo-output.txt: of one run, and of today's program."""

import re
from pathlib import Path

import pytest

from centre.demo import clip
from centre.demo.screen import format_count
from centre.demo.video_source import SCENES_FOLDER
from centre.replay import ReplayRequest, replay
from scripts import demo_transcript

DOCUMENTED = demo_transcript.OUTPUT.read_text(encoding="utf-8")


def test_the_readme_has_the_shortened_transcript_of_the_complete_output() -> None:
    (block,) = demo_transcript.BLOCK.findall(demo_transcript.README.read_text(encoding="utf-8"))
    assert block == demo_transcript.shorten(DOCUMENTED), "run `make pictures`"


@pytest.mark.slow
@pytest.mark.shared
def test_the_program_counts_in_the_demos_video_what_the_transcript_says(
    shared: Path, tmp_path: Path
) -> None:
    """By a replay: on a busy machine the demo's box sheds detection."""
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
    assert lines == set(re.findall(r"^Line '(.*)' +(.*)$", DOCUMENTED, re.MULTILINE))
    kinds = re.findall(r"^Event +(\d+) x (\w+):", DOCUMENTED, re.MULTILINE)
    assert summary.event_counts == {kind: int(number) for number, kind in kinds}
