"""`vigie demo`: videos, no video, no network, wrong options, Ctrl-C."""

import hashlib
import importlib.util
import io
import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from rich.console import Console

from agent.app.event_types import EVENT_TYPES
from agent.base.model import Event
from centre.demo import broker, clip
from centre.demo.files import DemoFiles
from centre.demo.screen import render_screen
from centre.demo.stats import DemoStats
from centre.demo.video_scenario import DemoVideoCamera, FramePacer, OpenOnce, video_screen
from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame
from simulation.camera.fake import Options, open_camera
from tests.turned_film import CLOCKWISE, write_with_matrix
from tests.whole import demo_values
from tests.whole.drawn_clip import write_street_clip

VIGIE = [sys.executable, "-m", "agent"]
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds of the rendered street as a file, in the codec of 1999 that vtest.avi has."""
    path = tmp_path_factory.mktemp("video") / "street.avi"
    camera = open_camera(
        "video",
        Options(width_px=640, height_px=360, fps=10, pace="fast", duration_s=8),
        StreamRequest(packets=False, frames_fps=10),
        lambda: 0,
    )
    with av.open(str(path), "w") as out:
        stream = out.add_stream("msmpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.bit_rate = 4_000_000
        for number in range(80):
            frame = camera.read(1.0)
            assert isinstance(frame, Frame)
            out.mux(stream.encode(demo_values.to_video_frame(frame, number)))
        out.mux(stream.encode(None))
    return path


def run(*words: str | Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """`vigie demo` without a terminal."""
    return subprocess.run(
        [*VIGIE, "demo", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "120", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.slow
def test_a_video_gives_counts_events_and_files(video: Path, tmp_path: Path) -> None:
    done = run("--fast", "--video", video, "--seconds", "5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for word in (
        "Tracked",
        "received by the centre",
        "none skipped",
        "Try next:",
    ):
        assert word in done.stdout
    # Over MQTT, the event of a video that is played fast may arrive when it has ended.
    assert re.search("unsigned: refused|the first event came at the end", done.stdout)
    assert re.search(r"^Faults +none", done.stdout, re.MULTILINE), done.stdout
    out = tmp_path / "demo-out"
    (edit,) = re.findall(r"^  vigie (scene edit .*)$", done.stdout, re.MULTILINE)
    page = subprocess.run(
        [*VIGIE, *shlex.split(edit)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "DISPLAY": "", "BROWSER": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert page.stdout == "demo-out/street.scene.html: open it in a browser\n"
    assert (out / "scene.toml").read_text() in json.loads(
        re.findall(r'id="editor-content">(.*?)</script>', (out / "street.scene.html").read_text())[
            0
        ]
    )["scene"]["text"]
    (key,) = re.findall(r"^Public key +(\S+) *$", done.stdout, re.MULTILINE)
    births = [line for line in (out / "messages.jsonl").read_text().splitlines() if key in line]
    assert births, "the key that the box has reported"
    assert frames_in(out / "annotated.mp4") == 50
    footage = sorted((out / "box" / "footage" / "street").glob("*.mp4"))
    assert sum(frames_in(path) for path in footage) == 50
    lines = [json.loads(text) for text in (out / "messages.jsonl").read_bytes().splitlines()]
    topics = {line["topic"].split("/")[4] for line in lines}
    assert {"status", "health", "flow"} <= topics
    numbers = [line["payload"]["seq"] for line in lines if line["payload"]["seq"] is not None]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


@pytest.mark.slow
def test_a_second_run_reuses_the_folder_of_the_first(video: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = run("--fast", "--video", video, "--seconds", "1", "--out", "there", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert frames_in(tmp_path / "there" / "annotated.mp4") == 10


def test_a_second_demo_in_the_folder_of_one_that_runs_is_refused_and_removes_nothing(
    tmp_path: Path,
) -> None:
    files = DemoFiles(tmp_path / "there")
    files.messages.write_text("of the first\n")
    done = run("--fast", "--seconds", "1", "--out", "there", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "vigie: --out 'there': another demo writes into it; allowed: another folder, or after it has ended"
    )
    assert files.messages.read_text() == "of the first\n"
    files.close()


@pytest.mark.slow
def test_without_network_or_video_a_street_is_rendered_and_reported(tmp_path: Path) -> None:
    nothing = tmp_path / "bin"
    nothing.mkdir()
    done = run(
        "--fast", "--seconds", "6", cwd=tmp_path, PATH=str(nothing), XDG_CACHE_HOME=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert "Playing a rendered street" in done.stdout
    assert "car" in done.stdout
    assert "verified with the key that the centre knows" in " ".join(done.stdout.split())
    assert frames_in(tmp_path / "demo-out" / "export" / "clip.mp4") > 0


@pytest.mark.slow
def test_ctrl_c_ends_the_demo_in_order_with_a_summary(tmp_path: Path) -> None:
    # A rendered street in real pace: a short film would end by itself on a busy machine, before its first event.
    command = [*VIGIE, "demo"]
    environ = {**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "120", "PATH": "/nowhere"}
    environ |= {"XDG_CACHE_HOME": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE) as child:
        messages = tmp_path / "demo-out" / "messages.jsonl"
        # An event has frames behind it; the birth message comes before the first frame.
        wait_for(lambda: messages.exists() and b"/up/event/" in messages.read_bytes(), child)
        child.send_signal(signal.SIGINT)
        assert child.stdout is not None
        expected_message = child.stdout.read().decode()
    assert child.returncode == 0
    assert "stopped by you" in expected_message
    assert frames_in(tmp_path / "demo-out" / "annotated.mp4") > 0


@pytest.mark.slow
def test_on_a_terminal_the_demo_draws_a_screen_and_restores_the_terminal(
    video: Path, tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    environ = {**os.environ, "PYTHONPATH": str(PROJECT), "TERM": "xterm-256color"}
    environ |= {"COLUMNS": "120", "LINES": "40"}
    command = [*VIGIE, "demo", "--fast", "--video", str(video), "--seconds", "3"]
    child = subprocess.Popen(
        command, cwd=tmp_path, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    expected_message = b""
    try:
        while chunk := os.read(ours, 65536):
            expected_message += chunk
    except OSError:
        pass  # a terminal whose other side is closed raises an error
    finally:
        os.close(ours)
    shown = expected_message.decode(errors="replace")
    assert child.wait(60) == 0, shown
    assert "\x1b[?1049h" in shown
    assert "\x1b[?1049l" in shown
    assert "Events, as they reach the centre over MQTT" in shown
    assert "\u2580" in shown


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (["--video", "missing.mp4"], "missing.mp4"),
        (["--video", "words.txt"], "words.txt"),
        (["--video", "."], "'.'"),
        (["--out", "taken"], "has files that no demo wrote"),
        (["--out", "words.txt"], "words.txt"),
        (["--seconds", "0"], "more than 0"),
        (["--seconds", "soon"], "more than 0"),
    ],
)
def test_wrong_arguments_give_one_clear_line(
    words: list[str], pattern: str, tmp_path: Path
) -> None:
    (tmp_path / "words.txt").write_text("no video")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("dear")
    done = run("--fast", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert pattern in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert (tmp_path / "taken" / "letter.txt").read_text() == "dear"


@pytest.fixture(params=["iotcore", "mosquitto"])
def broker_port(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[int]:
    """Each broker that the demo may run."""
    if request.param == "iotcore" and importlib.util.find_spec("iotcore") is None:
        pytest.skip("iotcore is not installed")
    if request.param == "mosquitto":
        if not shutil.which("mosquitto", path="/usr/sbin:/usr/bin"):
            pytest.skip("mosquitto is not installed")
        monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with broker.run_broker(tmp_path) as url:
        assert url.startswith("mqtt://127.0.0.1:")
        yield int(url.rsplit(":", 1)[1])


def test_the_demo_broker_supports_every_feature_that_the_agent_uses(broker_port: int) -> None:
    received: list[paho.MQTTMessage] = []
    came = threading.Condition()

    def on_message(_client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        with came:
            received.append(message)
            came.notify()

    box = demo_values.connect_client("box", broker_port, will=("up/status", b"lost"))
    sent = Properties(PacketTypes.PUBLISH)
    sent.UserProperty = [("id", "7")]
    box.publish("up/status", b"online", qos=1, retain=True, properties=sent).wait_for_publish(10)
    centre = demo_values.connect_client("centre", broker_port)
    centre.on_message = on_message
    demo_values.subscribe(centre, "up/#")
    for number in range(200):
        last = box.publish("up/event", str(number).encode() * 1000, qos=1)
    last.wait_for_publish(10)
    with came:
        assert came.wait_for(lambda: len(received) >= 201, 60)
    assert received[0].retain
    assert received[0].properties.UserProperty == [("id", "7")]
    assert [m.payload for m in received[1:]] == [str(n).encode() * 1000 for n in range(200)]
    demo_values.cut_connection(box)
    with came:
        assert came.wait_for(lambda: received[-1].payload == b"lost", 60)
    centre.disconnect()
    centre.loop_stop()


def test_the_demo_broker_listens_on_the_loopback_address_only(broker_port: int) -> None:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    rows += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    listening = "0A"  # of the kernel's TCP states
    at = [row[1] for row in rows if row[3] == listening and row[1].endswith(f":{broker_port:04X}")]
    assert at == [f"0100007F:{broker_port:04X}"]


def test_the_demo_camera_keeps_the_second_frame_until_the_first_is_processed() -> None:
    inner = open_camera(
        "street",
        Options(width_px=64, height_px=64, pace="fast"),
        StreamRequest(packets=False, frames_fps=15),
        lambda: 0,
    )
    turnstile = FramePacer()
    camera = DemoVideoCamera(inner, 0.2, turnstile, base_ns=1_000)
    first = camera.read(0.01)
    assert isinstance(first, Frame)
    assert first.t_ns == 1_000
    assert camera.read(0.01) is None
    turnstile.mark_free()
    second = camera.read(0.01)
    assert isinstance(second, Frame)
    assert second.seq == 1
    turnstile.mark_free()
    third = camera.read(0.01)
    assert isinstance(third, Frame)
    turnstile.mark_free()
    with pytest.raises(DriverError, match="has been played"):
        camera.read(0.01)


def test_a_video_is_opened_once() -> None:
    opened = OpenOnce(
        lambda wanted: open_camera("x", Options(width_px=64, height_px=64), wanted, lambda: 0)
    )
    opened(StreamRequest(packets=False, frames_fps=1)).close()
    assert not opened.has_ended
    with pytest.raises(DriverError, match="to its end"):
        opened(StreamRequest(packets=False, frames_fps=1))
    assert opened.has_ended


@pytest.mark.parametrize(
    ("event", "pattern"),
    [
        (
            demo_values.make_event("line", "moment", name="path", label="person", direction="home"),
            'a person crosses "path" home',
        ),
        (
            demo_values.make_event("zone", "end", name="lawn", label="car", duration_s=6.6),
            'a car leaves "lawn" after 7 s',
        ),
        (
            demo_values.make_event("crowd", "begin", name="square", count=6),
            '6 in a crowd at "square"',
        ),
        (demo_values.make_event("queue", "end", name="lights"), 'the queue at "lights" is gone'),
        (demo_values.make_event("view_dark", "end"), "the view is dark: over"),
        (demo_values.make_event("camera_lost", "begin"), "the camera is lost"),
        (demo_values.make_event("reported", "begin", name="Motion"), "the camera reports Motion"),
        (
            demo_values.make_event("reported", "end", name="Motion"),
            "the camera reports Motion: over",
        ),
        (demo_values.make_event("door", "begin"), "the door is open"),
        (demo_values.make_event("power", "end"), "mains power is back"),
    ],
)
def test_an_event_is_described_in_a_sentence(event: Event, pattern: str) -> None:
    assert EVENT_TYPES[event.kind].describe(event) == pattern


def test_every_kind_of_event_has_a_sentence() -> None:
    for event in demo_values.all_events():
        expected_message = EVENT_TYPES[event.kind].describe(event)
        assert expected_message
        assert "None" not in expected_message


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40), (200, 60), (40, 12)])
def test_the_screen_fits_the_terminal(columns: int, rows: int) -> None:
    tally = DemoStats()
    tally.add_frame(demo_values.make_frame_result())
    for event in demo_values.all_events():
        tally.add_event(event)
    tally.set_health(demo_values.make_health_report())
    moment = video_screen(tally.view(), "a video", 80, "mqtt://127.0.0.1:1")
    console = Console(width=columns, height=rows, force_terminal=True, file=io.StringIO())
    with console.capture() as captured:
        console.print(render_screen(moment, columns, rows))
    lines = captured.get().rstrip("\n").split("\n")
    assert len(lines) <= rows or rows < 24
    assert ("\u2580" in captured.get()) == (columns >= 80)


@pytest.mark.shared
def test_the_video_has_the_known_digest(shared: Path) -> None:
    data = (shared / "footage" / "opencv_vtest.avi").read_bytes()
    assert hashlib.sha256(data).hexdigest() == clip.VIDEO_SHA256


def wait_for(is_so: object, child: "subprocess.Popen[bytes]") -> None:
    """Look now and then, until it is so or the child has ended."""
    assert callable(is_so)
    tick = threading.Event()
    while not is_so():
        assert child.poll() is None, "the demo ended by itself"
        tick.wait(0.05)


def test_a_phones_film_is_transcoded_as_it_is_displayed(tmp_path: Path) -> None:
    upright, phone, out = (tmp_path / name for name in ("upright.mp4", "phone.mp4", "out.mp4"))
    write_street_clip(upright, 1)
    write_with_matrix(upright, phone, CLOCKWISE)
    assert (clip.is_recordable(upright), clip.is_recordable(phone)) == (True, False)
    clip.transcode_to_h264(phone, out, lambda _step, _fraction: None)
    assert clip.is_recordable(out)
    with av.open(str(out)) as video:
        assert (video.streams.video[0].width, video.streams.video[0].height) == (360, 640)
