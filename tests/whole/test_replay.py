"""`vigie replay` on a clip of the rendered street."""

import contextlib
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from agent.__main__ import main
from agent.base.model import LABELS, TrafficCounts
from agent.reporting.payloads import EventMessage, TrafficCountsMessage
from tests.pure.rules.street_ground import street_ground_toml
from tests.scene_editor.node_views import run_views
from tests.turned_film import CLOCKWISE, write_with_matrix
from tests.whole.drawn_clip import FPS, write_street_clip

ROOT = Path(__file__).parents[2]
SCENE = ROOT / "centre" / "demo" / "scenes" / "street.toml"
BEGIN_S, LENGTH_S = 11, 13
"""Of the street's timetable: cars both ways in the first 3 s and in the last 6, one that parks, a person on the zebra."""
UPRIGHT_S, SHORT_S, CUT_S = 9, 2, 6
START = "2026-05-12T08:00+01:00"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "street.mp4"
    write_street_clip(path, LENGTH_S, begin_s=BEGIN_S)
    return path


@pytest.fixture(scope="module")
def short_clip(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("short") / "short.mp4"
    return write_transformed(clip, path, length_s=SHORT_S)


class Replayed:
    def __init__(self, folder: Path, clip: Path, *more: str, scene: Path = SCENE) -> None:
        self.events = folder / "events.jsonl"
        self.tracks = folder / "tracks.jsonl"
        outputs = ["--events", str(self.events), "--tracks", str(self.tracks)]
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            assert main(["replay", str(clip), "--scene", str(scene), *outputs, *more]) == 0
        self.summary = shown.getvalue()

    def messages(self, kind: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.events.read_bytes().splitlines()]
        return [line for line in lines if line["type"] == kind]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The street on calibrated ground, with a flow.

    Cars that come towards the camera pass the left lane and then the line across the street.
    """
    path = tmp_path_factory.mktemp("scene") / "scene.toml"
    flow = '\n[[flow]]\nname = "arrivals"\nfrom = "left lane"\nto = "street"\n'
    path.write_text(SCENE.read_text() + street_ground_toml() + flow)
    return path


@pytest.fixture(scope="module")
def replayed(clip: Path, scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    folder = tmp_path_factory.mktemp("replayed")
    annotated = str(folder / "annotated.mp4")
    return Replayed(folder, clip, "--start", START, "--annotate", annotated, scene=scene)


def test_two_runs_give_the_same_bytes(
    replayed: Replayed, clip: Path, scene: Path, tmp_path: Path
) -> None:
    again = Replayed(tmp_path, clip, "--start", START, scene=scene)
    assert again.events.read_bytes() == replayed.events.read_bytes()
    assert again.tracks.read_bytes() == replayed.tracks.read_bytes()


def test_an_output_line_equals_the_mqtt_message(replayed: Replayed) -> None:
    events = replayed.messages("event")
    assert events
    for number, line in enumerate(events, start=1):
        message = msgspec.convert(line, EventMessage)
        assert (message.box, message.seq) == ("replay", number)
        assert message.data.camera == "replay"
        assert message.data.t_s == round(message.data.t_ns / 1e9, 3)
        assert not message.clock.synced
        for key in ("event", "rev", "kind", "phase", "name", "label", "track", "score", "box"):
            assert key in line["data"]
    assert len({line["id"] for line in events}) == len(events)


def test_the_events_match_the_rendered_street(replayed: Replayed) -> None:
    begun = Counter(
        (line["data"]["kind"], line["data"]["name"])
        for line in replayed.messages("event")
        if line["data"]["rev"] == 1
    )
    assert begun["line", "street"] >= 3
    # The parked car; a car at the vanishing point may seem to stand too.
    assert begun["stopped", "right lane"] >= 1
    assert not any(kind.startswith("view_") for kind, _ in begun)


def test_every_event_that_began_has_ended(replayed: Replayed) -> None:
    last = {line["data"]["event"]: line["data"]["phase"] for line in replayed.messages("event")}
    assert set(last.values()) <= {"end", "moment"}


def traffic_counts(replayed: Replayed) -> TrafficCounts:
    """The counts of the only minute, which is the last message."""
    last = replayed.events.read_bytes().splitlines()[-1]
    assert replayed.messages("flow") == [json.loads(last)]
    return msgspec.json.decode(last, type=TrafficCountsMessage).data


def test_traffic_counts_are_at_the_end_and_add_up(replayed: Replayed) -> None:
    reported = Counter[str]()
    for line in traffic_counts(replayed).lines:
        reported[line.name] += sum(sum(labels.values()) for labels in line.counts.values())
    crossings = [e["data"] for e in replayed.messages("event") if e["data"]["kind"] == "line"]
    assert reported == Counter({"street": 0, "zebra": 0}) + Counter(e["name"] for e in crossings)


def test_a_film_in_the_dark_has_no_trusted_counts(tmp_path: Path) -> None:
    width_px, height_px = 320, 180
    film = tmp_path / "dark.mp4"
    rng = np.random.default_rng(1)
    with av.open(str(film), "w") as video:
        stream = video.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        for _ in range(15 * FPS):
            planes = rng.integers(16, 24, (height_px * 3 // 2, width_px), np.uint8)
            planes[height_px:] = 128
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            video.mux(stream.encode(picture))
        video.mux(stream.encode(None))
    dark = Replayed(tmp_path, film)
    (flow,) = dark.messages("flow")
    assert (flow["data"]["trusted"], flow["data"]["untrusted_reasons"]) == (False, ["dark"])
    assert "  counts are not to be trusted in 1 of 1 minutes: dark\n" in dark.summary


def test_a_track_line_has_every_field_of_a_scorer(replayed: Replayed) -> None:
    lines = [json.loads(line) for line in replayed.tracks.read_bytes().splitlines()]
    assert len(lines) > LENGTH_S
    for line in lines:
        assert list(line)[:6] == ["t_s", "frame", "track", "label", "score", "box"]
        assert list(line)[6:] in ([], ["ground"])
        assert line["label"] in LABELS
        assert line["t_s"] == pytest.approx(line["frame"] / FPS, abs=0.001)
        assert len(line["box"]) == 4


def test_the_scene_editor_reads_both_files(replayed: Replayed) -> None:
    events, tracks = run_views(
        {"do": "lines", "kind": "events", "text": replayed.events.read_text()},
        {"do": "lines", "kind": "tracks", "text": replayed.tracks.read_text()},
    )
    ids = {line["data"]["event"] for line in replayed.messages("event")}
    assert {event["id"] for event in events["read"]["events"]} == ids
    assert tracks["read"]["length"] == len(replayed.tracks.read_bytes().splitlines())


def test_the_annotated_video_plays_in_common_players(replayed: Replayed) -> None:
    path = replayed.events.parent / "annotated.mp4"
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (1280, 720)
        frames = [float(frame.time) for frame in video.decode(stream)]
    assert len(frames) == LENGTH_S * FPS
    assert frames == pytest.approx([i / FPS for i in range(len(frames))], abs=0.001)


def test_the_summary_has_counts_events_and_speed(replayed: Replayed) -> None:
    assert f"{LENGTH_S * FPS} frames" in replayed.summary
    assert "inferences" in replayed.summary
    assert "line 'street', towards the camera: " in replayed.summary
    assert "event stopped: " in replayed.summary
    assert "events.jsonl" in replayed.summary


def test_every_frame_is_looked_at_where_that_is_asked_for(short_clip: Path, tmp_path: Path) -> None:
    fast = write_transformed(short_clip, tmp_path / "fast.mp4", fps=30)
    frames = []
    for more in ([], ["--every-frame"]):
        frames += map(int, re.findall(r"(\d+) frames", Replayed(tmp_path, fast, *more).summary))
    assert frames[0] < frames[1] / 2
    assert frames[1] == SHORT_S * FPS


def test_on_calibrated_ground_the_counts_have_speeds(replayed: Replayed) -> None:
    """Cars of the street drive at 32.4 km/h."""
    street = next(line for line in traffic_counts(replayed).lines if line.name == "street")
    assert isinstance(street.speeds, dict)
    bands = sum((Counter(one.bands.get("car", {})) for one in street.speeds.values()), Counter())
    cars = sum(labels.get("car", 0) for labels in street.counts.values())
    assert bands[30] >= 2 * bands.total() / 3
    assert 0.6 * cars <= bands.total() <= cars
    (towards,) = (
        line for line in replayed.summary.splitlines() if "'street', towards the camera" in line
    )
    counted = street.speeds["towards the camera"].bands["car"]
    assert f"; speeds: {sum(counted.values())} (km/h: " in towards
    assert f"30-40 {counted[30]}" in towards


def test_a_turning_flow_is_counted_by_the_minute_and_in_the_summary(replayed: Replayed) -> None:
    counts = traffic_counts(replayed)
    (arrivals,) = counts.flows
    street = next(line for line in counts.lines if line.name == "street")
    total = sum(arrivals.counts.values())
    assert (arrivals.origin, arrivals.destination) == ("left lane", "street")
    assert 1 <= total <= sum(street.counts["towards the camera"].values())
    assert f"flow 'arrivals': {total} (" in replayed.summary


def test_events_go_to_standard_output_and_all_else_to_standard_error_without_notices_of_the_runtime(
    short_clip: Path,
) -> None:
    words = ["replay", str(short_clip), "--scene", str(SCENE), "--events", "-"]
    done = subprocess.run(
        [sys.executable, "-m", "agent", *words], capture_output=True, check=True, text=True
    )
    kinds = {json.loads(line)["type"] for line in done.stdout.splitlines()}
    assert kinds == {"event", "flow"}
    assert done.stderr.startswith(f"short.mp4: {SHORT_S - 0.1} s"), done.stderr
    assert "INFO" not in done.stderr
    assert "wrote" not in done.stderr


GOOD = ["{clip}", "--scene", "{scene}", "--events", "{folder}/e.jsonl"]


@pytest.mark.parametrize(
    ("change", "code", "expected_message"),
    [
        ({"{clip}": "{folder}/none.mp4"}, 1, "none.mp4': no such file"),
        ({"{clip}": "{scene}"}, 1, "street.toml"),
        ({"{clip}": "{folder}"}, 1, "is a folder"),
        ({"{clip}": "{folder}/empty.mp4"}, 1, "empty.mp4"),
        ({"{clip}": "{folder}/noise.mp4"}, 1, "noise.mp4"),
        ({"{scene}": "{folder}/none.toml"}, 2, "scene '{folder}/none.toml': No such file"),
        ({"{scene}": "{folder}/bad.toml"}, 2, "bad.toml: zone[0].kind = 'road'"),
        ({"{scene}": "{clip}"}, 2, "not UTF-8 text"),
        ({"{folder}/e.jsonl": "{folder}/none/e.jsonl"}, 2, "none/e.jsonl': No such file"),
        ({"{folder}/e.jsonl": "{clip}"}, 2, "is an input"),
        ({"{folder}/e.jsonl": "{scene}"}, 2, "is an input"),
        (
            {"+": "--model faces"},
            2,
            "model 'faces': unknown; allowed: nanodet, nanodet_320, ssdlite",
        ),
        ({"+": "--tracks {folder}"}, 2, "Is a directory"),
        ({"+": "--annotate {clip}"}, 2, "is an input"),
        (
            {"+": "--annotate {folder}/a.xyz"},
            2,
            "--annotate '{folder}/a.xyz': allowed: a name that ends in .mp4",
        ),
        ({"+": "--annotate {folder}/a"}, 2, "allowed: a name that ends in .mp4"),
        ({"+": "--annotate {folder}/none/a.mp4"}, 2, "none/a.mp4': No such file"),
        (
            {"+": "--tracks {folder}/e.jsonl"},
            2,
            "--tracks '{folder}/e.jsonl': is the output of --events; allowed: another file",
        ),
        ({"+": "--tracks {folder}/x/../e.jsonl"}, 2, "is the output of --events"),
        ({"+": "--annotate {folder}/e.jsonl"}, 2, "is the output of --events"),
        ({"+": "--tracks {folder}/a --annotate {folder}/a"}, 2, "is the output of --tracks"),
        ({"{folder}/e.jsonl": "{folder}/hard.mp4"}, 2, "is an input"),
        (
            {"+": "--start 2026-05-12T08:00"},
            2,
            "--start '2026-05-12T08:00': allowed: a date from 2000 to 2099 and a time with its offset",
        ),
        ({"+": "--start 1969-05-12T08:00Z"}, 2, "--start '1969-05-12T08:00Z': allowed"),
        ({"+": "--start morning"}, 2, "--start 'morning': allowed"),
        ({"{folder}/e.jsonl": "/dev/full"}, 2, "output '/dev/full': No space left on device"),
        ({"+": "--tracks /dev/full"}, 2, "output '/dev/full': No space left on device"),
        # Output to /dev/null is kept nowhere and overwrites nothing.
        (
            {"{folder}/e.jsonl": "/dev/null", "+": "--tracks /dev/null --annotate /dev/full"},
            2,
            "annotated video '/dev/full': No space left on device",
        ),
    ],
)
def test_a_mistake_gives_one_line(
    change: dict[str, str],
    code: int,
    expected_message: str,
    short_clip: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    video = short_clip.read_bytes()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "hard.mp4").hardlink_to(short_clip)
    (tmp_path / "bad.toml").write_text(SCENE.read_text().replace('"carriageway"', '"road"'))
    names = {"{clip}": str(short_clip), "{scene}": str(SCENE), "{folder}": str(tmp_path)}

    def filled(text: str) -> str:
        for name, path in names.items():
            text = text.replace(name, path)
        return text

    given = [change.get(word, word) for word in GOOD] + change.get("+", "").split()
    assert main(["replay", *(filled(word) for word in given)]) == code
    error = capfd.readouterr().err
    assert error.startswith("vigie: ")
    assert error.count("\n") == 1
    assert filled(expected_message) in error
    assert short_clip.read_bytes() == video
    assert "[[line]]" in SCENE.read_text()


@pytest.mark.parametrize("words", [[], ["x.mp4"], ["x.mp4", "--scene", "s.toml", "--fps", "3"]])
def test_bad_usage_is_reported_by_the_argument_parser(words: list[str]) -> None:
    assert main(["replay", *words]) == 2


def test_a_truncated_video_is_replayed_up_to_its_end(clip: Path, tmp_path: Path) -> None:
    """A fragmented video whose end is missing, as a power cut leaves it."""
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    with (
        av.open(str(clip)) as source,
        av.open(
            str(whole),
            "w",
            options={"movflags": "frag_keyframe+empty_moov", "frag_duration": "1000000"},
        ) as video,
    ):
        stream = video.add_stream_from_template(source.streams.video[0])
        for packet in islice(source.demux(source.streams.video[0]), CUT_S * FPS):
            if packet.dts is not None:
                packet.stream = stream
                video.mux(packet)
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    events = tmp_path / "e.jsonl"
    code = main(["replay", str(cut), "--scene", str(SCENE), "--events", str(events)])
    assert code in (0, 1)
    (flow,) = (line for line in events.read_text().splitlines() if '"type":"flow"' in line)
    assert 1e9 <= json.loads(flow)["data"]["end_ns"] < (CUT_S - 1) * 1e9


def test_a_model_that_does_not_match_its_card_is_refused(short_clip: Path, tmp_path: Path) -> None:
    for package in ("agent", "drivers"):
        shutil.copytree(ROOT / package, tmp_path / package)
    model = tmp_path / "agent" / "detection" / "models" / "nanodet_320.tflite"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    for words in (
        ["replay", str(short_clip), "--scene", str(SCENE), "--events", "e.jsonl"],
        ["detect", str(short_clip)],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "agent", *words],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path), "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("vigie: model 'nanodet_320'")
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "e.jsonl").exists()


def write_transformed(
    clip: Path, target: Path, *, fps: int = FPS, quarter_turns: int = 0, length_s: int = LENGTH_S
) -> Path:
    """Encode the beginning of a clip again with fewer pictures, or faster, or with its pictures turned counterclockwise."""
    with av.open(str(clip)) as reader, av.open(str(target), "w") as writer:
        stream = None
        for index, picture in enumerate(islice(reader.decode(video=0), length_s * FPS)):
            if index % max(1, FPS // fps):
                continue
            image = np.rot90(picture.to_ndarray(format="rgb24"), quarter_turns)
            if stream is None:
                stream = writer.add_stream("libx264", rate=fps, options={"preset": "veryfast"})
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
            turned = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            writer.mux(stream.encode(turned))
        assert stream is not None
        writer.mux(stream.encode(None))
    return target


def test_a_film_that_a_phone_took_upright_counts_as_it_is_displayed(
    clip: Path, replayed: Replayed, tmp_path: Path
) -> None:
    turned = write_transformed(clip, tmp_path / "turned.mp4", quarter_turns=1, length_s=UPRIGHT_S)
    phone = write_with_matrix(turned, tmp_path / "phone.mp4", CLOCKWISE)

    def crossings(replayed: Replayed) -> int:
        events = [line["data"] for line in replayed.messages("event")]
        return sum(one["kind"] == "line" and one["t_s"] < UPRIGHT_S for one in events)

    assert crossings(replayed) >= 3
    annotated = tmp_path / "annotated.mp4"
    upright = Replayed(tmp_path, phone, "--annotate", str(annotated))
    assert abs(crossings(upright) - crossings(replayed)) <= 1
    with av.open(str(annotated)) as video:
        assert (video.streams.video[0].width, video.streams.video[0].height) == (1280, 720)


def test_a_film_of_too_few_pictures_and_an_empty_scene_are_warned_of_before_the_replay(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = write_transformed(clip, tmp_path / "slow.mp4", fps=1, length_s=UPRIGHT_S)
    empty = tmp_path / "empty.toml"
    empty.write_text("[[mask]]\npolygon = [[0.0, 0.0], [0.1, 0.0], [0.1, 0.1]]\n")
    Replayed(tmp_path, slow)
    assert capsys.readouterr().err == (
        f"warning: {slow}: 1 pictures a second: crossings are missed; needed: 5, better 10\n"
    )
    words = ["replay", str(slow), "--scene", str(empty), "--events", "/dev/null"]
    assert main(words) == 0
    assert (
        f"warning: {empty}: has no line and no zone: nothing is counted\n"
        in capsys.readouterr().err
    )


def test_rules_follow_the_hours_of_their_zone_from_the_start_that_is_given(
    short_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = tmp_path / "night.toml"
    zone = 'name = "street"\npolygon = [[0, 0], [1, 0], [1, 1], [0, 1]]\n'
    scene.write_text(f'[[zone]]\n{zone}hours = ["mon 22:00-06:00"]\n')
    begun = {}
    # The offset is that of the street: in UTC the second start is at 21:30.
    for start in ("2026-05-11T12:00+01:00", "2026-05-11T22:30+01:00", None):
        events = tmp_path / "events.jsonl"
        words = ["replay", str(short_clip), "--scene", str(scene), "--events", str(events)]
        assert main([*words, *(["--start", start] if start else [])]) == 0
        begun[start] = events.read_text().count('"phase":"begin"')
    assert list(begun.values()) == [0, begun[None], begun[None]]
    assert begun[None] > 0
    assert "has hours, and --start is not given: rules run all the time" in capsys.readouterr().err


def test_times_count_from_the_start_that_is_given(
    replayed: Replayed, short_clip: Path, tmp_path: Path
) -> None:
    start = datetime.fromisoformat(START)
    events = replayed.messages("event")
    assert events
    for line in events:
        since = datetime.fromisoformat(line["time"]) - start
        assert since.total_seconds() == pytest.approx(line["data"]["t_s"], abs=0.002)
    (flow,) = replayed.messages("flow")
    assert datetime.fromisoformat(flow["data"]["begin_time"]) == start
    assert datetime.fromisoformat(flow["time"]) - start < timedelta(seconds=LENGTH_S + 1)
    starts = ([], ["--start", START])
    ids = [Replayed(tmp_path, short_clip, *more).messages("flow")[0]["id"] for more in starts]
    assert ids[0] != ids[1]


def test_an_interrupted_replay_leaves_no_half_file_and_keeps_the_old_ones(
    clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "e.jsonl").write_text("old\n")
    outputs = ["--events", "e.jsonl", "--tracks", "t.jsonl", "--annotate", "a.mp4"]
    words = ["replay", str(clip), "--scene", str(SCENE), *outputs, "--every-frame"]
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "agent", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"},
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        shown = b""
        while b"0:00:" not in shown:  # the time left, which needs some pictures
            shown += os.read(controller, 4096)
        assert (folder / ".a.mp4.making").exists()
        process.send_signal(signal.SIGINT)
        reader = threading.Thread(target=_drain, args=(controller,))
        reader.start()
        assert process.wait(60) == 130
        reader.join()
    os.close(controller)
    assert b"street.mp4" in shown
    assert b"left" in shown
    assert {path.name for path in folder.iterdir()} == {"e.jsonl"}
    assert (folder / "e.jsonl").read_text() == "old\n"


def _drain(terminal: int) -> None:
    """Read a terminal until its other end is closed, which is EIO."""
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        pass
