"""`vigie configure --rehearse`: a running box tries another model and scene on its own footage, and loses no frame."""

import json
import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.base.clock import rfc3339
from agent.recording.custody.receipts import FootageViewed
from tests.whole.drawn_clip import FPS, write_street_clip
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import TIMEOUT_S, AgentBox
from tests.whole.test_desired_config import BOX, footage, receipts, serviced

Configure = Callable[..., int]
CLIP_S = 12.0
LINE = '[[line]]\nname = "street"\nfrom = [0.0, 0.6]\nto = [1.0, 0.6]\n'
FAR = '[[line]]\nname = "far"\nfrom = [0.0, 0.35]\nto = [1.0, 0.35]\n'
BLIND = LINE + "[[ignore]]\npolygon = [[0, 0], [1, 0], [1, 1], [0, 1]]\n"


@pytest.fixture
def pole(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[AgentBox]:
    """A box that records a film of the street over and over, in short files."""
    # A keyframe each second, as a camera sends, and no B-frames.
    encoder_options = {"g": str(FPS), "bf": "0"}
    write_street_clip(tmp_path / "street.mp4", CLIP_S, 320, 180, encoder_options)
    options = f'{{ path = "{tmp_path / "street.mp4"}", loop = true }}'
    box = AgentBox(
        tmp_path / "box", mosquitto.url, f'driver = "replay"\noptions = {options}\n', detect_fps=5
    )
    (box.folder / "scene.toml").write_text(LINE)
    with (box.folder / "vigie.toml").open("a") as file:
        file.write("[record]\nsegment_s = 3\n")
    box.start()
    yield box
    box.kill()


@pytest.fixture
def configure(tmp_path: Path, mosquitto: Mosquitto) -> Configure:
    """`vigie configure` of the box with a scene, by Amina."""

    def run(scene: str, *words: str, boxes: str = BOX) -> int:
        file = tmp_path / "proposed.toml"
        file.write_text(scene)
        person = ["--by", "amina", "--broker", mosquitto.url]
        return main(["configure", boxes, "--scene", f"north={file}", *words, *person])

    return run


def recorded_span(box: AgentBox, count: int) -> list[str]:
    """Wait until so many files are closed. Return the options of their span."""

    def closed() -> list[object]:
        return [entry for entry in footage(box, "north") if entry.closed is not None]

    wait_until(lambda: len(closed()) >= count, TIMEOUT_S)
    entries = footage(box, "north")
    begin, end = entries[0].begin, entries[count - 1].end
    assert end is not None
    return ["--from", rfc3339(begin), "--to", rfc3339(end)]


def assert_recorded_without_a_lost_frame(box: AgentBox) -> None:
    closed = [entry.closed for entry in footage(box, "north") if entry.closed is not None]
    assert len(closed) > 4
    for one, following in pairwise(closed):
        gap_ns = following.begin_ns - one.begin_ns - one.duration_ns
        assert abs(gap_ns) < 0.5e9 / FPS
    assert not [body for body in receipts(box) if type(body).__name__ == "FootageGap"]


def test_the_differences_are_reported_and_the_version_stays_out_of_force(
    pole: AgentBox, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    span = recorded_span(pole, 2)
    pid = pole.pid
    assert configure(LINE + FAR, "--rehearse", *span, "--json") == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    (camera,) = report["cameras"]
    assert (report["state"], camera["reason"], camera["different"]) == ("done", None, 0)
    assert camera["same"] > 0
    assert [line["name"] for line in camera["lines"]] == ["street", "far"]
    assert camera["covered_s"] == pytest.approx(6, abs=1)

    # Another model and a scene that sees nothing, in a rollout to two boxes: it stops at the first one.
    model = pole.folder.parent / "version.toml"
    model.write_text('[settings.camera.north.detect]\nmodel = "ssdlite_mobilenet_v2"\n')
    limit = ["--rehearse", "--limit", "0.1", *span]
    assert configure(BLIND, str(model), *limit, boxes=f"{BOX},casa-0002") == 1
    shown = capsys.readouterr()
    assert "ssdlite_mobilenet_v2" in shown.out
    assert "by the configuration in force alone" in shown.out
    assert "100.0% differ; allowed: 10.0% or less" in shown.err
    assert f"stopped at {BOX}; not done: casa-0002" in shown.err
    assert pole.pid == pid

    assert pole.stop(signal.SIGTERM) == 0
    assert "Traceback" not in pole.log
    assert_recorded_without_a_lost_frame(pole)
    assert serviced(pole) == []
    viewed = [body for body in receipts(pole) if isinstance(body, FootageViewed)]
    assert [(body.camera, body.by) for body in viewed] == [("north", "amina")] * 2
    assert viewed[0].purpose == "rehearsal of configuration 1 on the box: counts alone leave it"


def test_a_version_within_the_limit_goes_into_force_after_its_rehearsal(
    pole: AgentBox, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    span = recorded_span(pole, 2)
    assert configure(LINE + FAR, "--merge", "--yes", "--rehearse", "--limit", "0.05", *span) == 0
    shown = capsys.readouterr()
    assert "0 different (0.0%)" in shown.out
    assert shown.err.endswith("version 1: on trial\nversion 1: in force\n")
    assert pole.stop(signal.SIGTERM) == 0
    assert serviced(pole)[-1] == "amina: configuration 1: in force"
    assert_recorded_without_a_lost_frame(pole)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--limit", "0.1"], "--limit: allowed: with --rehearse"),
        (["--rehearse", "--show"], "--show: allowed: without FILE"),
        (["--rehearse", "--limit", "5"], "--limit 5: allowed: a number above 0, up to 1"),
        (["--rehearse", "--save", "x"], "--rehearse: allowed: without --show, --save"),
    ],
)
def test_options_that_contradict_each_other_get_one_line(
    words: list[str], message: str, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    assert configure(LINE, *words) == 2
    assert message in capsys.readouterr().err
