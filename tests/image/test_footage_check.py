"""tests.image.footage: the check of footage finds its defects."""

from pathlib import Path

import av
import pytest

from tests.image.footage import (
    CAMERA,
    FPS,
    HEIGHT_PX,
    WIDTH_PX,
    ReferenceStreet,
    find_gaps,
    find_problems,
    play_files,
)

BOOT = "00000001_1f155cfd"


def name(counter: int, begin_ms: int) -> str:
    return f"{counter:010d}_1f155cfd_{begin_ms:012d}_20261125T013215.250Z.mp4"


def video(file: Path, first: int, count: int, *, swapped: bool = False) -> None:
    """Some of the street as a recorder keeps it; `swapped`: two pictures have changed places."""
    pictures = [*ReferenceStreet.render_pictures()][first : first + count]
    if swapped:
        pictures[3], pictures[20] = pictures[20], pictures[3]
    file.parent.mkdir(exist_ok=True)
    with av.open(str(file), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        for index, luma in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(luma, "gray").reformat(format="yuv420p")
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


@pytest.mark.slow
def test_a_continuous_recording_is_whole_and_one_with_gaps_is_not(
    street: ReferenceStreet, tmp_path: Path
) -> None:
    folder = tmp_path / CAMERA
    video(folder / name(1, 1000), 0, 50)
    video(folder / name(2, 11000), 50, 50)
    assert find_gaps([*play_files(street, tmp_path)]) == []
    assert [one.mismatches for one in play_files(street, tmp_path)] == [0, 0]
    video(folder / name(2, 11000), 65, 50)
    assert len(find_gaps([*play_files(street, tmp_path)])) == 1
    video(folder / name(2, 15000), 50, 50)
    assert len(find_gaps([*play_files(street, tmp_path)])) == 2
    video(folder / name(1, 1000), 100, 50, swapped=True)
    (first, *_) = play_files(street, tmp_path)
    assert first.mismatches > 0
    assert "without a receipt" in find_problems(street, tmp_path, tmp_path, "casa-0001")[0]
