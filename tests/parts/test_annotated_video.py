"""centre.annotated_video: order of frames, and failures that must not block detection."""

import threading
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest

from agent.detection.scene import Scene
from centre.annotated_video import MAX_QUEUED, AnnotatedVideoWriter
from drivers.media import Frame
from tests.whole import demo_values

FAR_MORE_THAN_FIT = 4 * MAX_QUEUED


def frame(number: int, *, luma_shape: tuple[int, int] = (90, 160)) -> Frame:
    y = np.full(luma_shape, 100, np.uint8)
    u = v = np.full((45, 80), 128, np.uint8)
    return Frame(seq=number, t_ns=number * 100_000_000, y=y, u=u, v=v)


def open_writer(path: Path) -> AnnotatedVideoWriter:
    return AnnotatedVideoWriter(path, Scene(), "street", 10, every_frame=True)


def give(writer: AnnotatedVideoWriter, frames: list[Frame]) -> bool:
    """Give frames on a thread, as the detect stage does. Whether it came to an end."""
    result = demo_values.make_frame_result()

    def run() -> None:
        for each in frames:
            writer.add_frame(each, msgspec.structs.replace(result, t_ns=each.t_ns))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    return not thread.is_alive()


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_every_frame_is_in_the_file(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out.mp4")
    assert give(writer, [frame(number) for number in range(FAR_MORE_THAN_FIT)])
    writer.close()
    writer.close()
    assert writer.error is None
    assert frames_in(tmp_path / "out.mp4") == FAR_MORE_THAN_FIT


def test_a_file_that_cannot_be_opened_blocks_nothing(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "missing" / "out.mp4")
    assert give(writer, [frame(number) for number in range(FAR_MORE_THAN_FIT)])
    writer.close()
    assert writer.error is not None
    assert "missing" in writer.error


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_unexpected_failure_blocks_nothing_and_leaves_no_half_file(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "out.mp4")
    broken = [frame(number, luma_shape=(0, 160)) for number in range(3, FAR_MORE_THAN_FIT)]
    assert give(writer, [*map(frame, range(3)), *broken])
    writer.close()
    assert writer.error is not None
    assert list(tmp_path.iterdir()) == []
