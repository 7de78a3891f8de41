"""The transcripts of the demo in README.md and docs/demo-output.txt: of today's program."""

import os
from pathlib import Path

import pytest

from centre.demo import clip
from scripts import demo_transcript

DOCUMENTED = demo_transcript.OUTPUT.read_text(encoding="utf-8")


def test_the_readme_has_the_shortened_transcript_of_the_complete_output() -> None:
    (block,) = demo_transcript.BLOCK.findall(demo_transcript.README.read_text(encoding="utf-8"))
    assert block == demo_transcript.shorten(DOCUMENTED), "run `make pictures`"


@pytest.mark.slow
@pytest.mark.shared
def test_the_demo_tracks_and_counts_what_its_documented_output_says(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    clip.cache_folder(os.environ).mkdir()
    video = clip.cache_folder(os.environ) / "vtest.mp4"
    clip.transcode_to_h264(
        shared / "footage" / "opencv_vtest.avi", video, lambda _step, _done: None
    )
    today = demo_transcript.run_demo()
    rows = demo_transcript.summary_rows
    assert rows(today) == rows(DOCUMENTED), "run `make pictures`"
