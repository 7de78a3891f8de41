"""`vigie detect` on pictures of the rendered street."""

import json
from pathlib import Path

import av
import cv2
import pytest

from agent.__main__ import main
from agent.base.model import LABELS
from tests.whole.drawn_clip import write_street_clip


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last picture of 13 s of the street."""
    folder = tmp_path_factory.mktemp("picture")
    write_street_clip(folder / "street.mp4", 13)
    with av.open(str(folder / "street.mp4")) as video:
        *_, last = video.decode(video=0)
    path = folder / "straße.png"
    path.write_bytes(cv2.imencode(".png", last.to_ndarray(format="bgr24"))[1].tobytes())
    return path


def test_json_is_one_line_for_each_picture(
    picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", "--json", str(picture), str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0] == lines[1]
    seen = json.loads(lines[0])
    assert list(seen) == ["path", "width_px", "height_px", "detections"]
    assert (seen["path"], seen["width_px"], seen["height_px"]) == (str(picture), 640, 360)
    assert "car" in [one["label"] for one in seen["detections"]]
    scores = [one["score"] for one in seen["detections"]]
    assert scores == sorted(scores, reverse=True)
    for one in seen["detections"]:
        assert list(one) == ["label", "score", "box"]
        assert one["label"] in LABELS
        x, y, w, h = one["box"]
        assert x >= 0
        assert y >= 0
        assert x + w <= 1.0001
        assert y + h <= 1.0001


def test_without_json_it_is_a_table(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(picture)]) == 0
    message = capsys.readouterr().out
    assert f"{picture}: 640 x 360" in message
    assert "car" in message


def test_every_model_can_be_selected(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "--json", "--model", "nanodet", str(picture)]) == 0
    assert json.loads(capsys.readouterr().out)["detections"]


def test_an_empty_street_has_no_detections(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = tmp_path / "grey.jpg"
    picture = cv2.UMat(120, 160, cv2.CV_8UC3, (128, 128, 128)).get()
    grey.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
    assert main(["detect", str(grey)]) == 0
    assert "no road users" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.png", None, "No such file or directory"),
        ("empty.png", b"", "not a whole picture"),
        ("text.jpg", b"a street", "not a whole picture"),
        ("cut.png", "cut", "not a whole picture"),
        (".", None, "Is a directory"),
    ],
)
def test_a_bad_picture_gives_one_line_and_the_others_are_processed(
    name: str,
    content: bytes | str | None,
    message: str,
    picture: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = tmp_path / name
    if content == "cut":
        content = picture.read_bytes()[:60]
    if isinstance(content, bytes):
        bad.write_bytes(content)
    assert main(["detect", "--json", str(bad), str(picture)]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert captured.err.startswith(f"vigie: image {str(bad)!r}: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_an_unknown_model_is_refused(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "--model", "faces", str(picture)]) == 2
    assert "vigie: model 'faces': unknown; allowed: " in capsys.readouterr().err


def test_no_picture_is_bad_usage() -> None:
    assert main(["detect"]) == 2
