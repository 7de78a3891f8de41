"""What the agent costs on one street: its stages beside bare decoding and beside `motion`, and
the whole of it. CPU seconds are of all threads, on one core, and for 60 s of film.

Run: `python -m bench agent`; it takes about six minutes, because real pace is real.
"""

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import av

from agent.detection.pipeline import DetectionPipeline
from bench import box, films, record
from bench.cpu import Turns, in_turns, one_core, process_cpu_s
from bench.mosquitto import mosquitto
from bench.peers import motion
from bench.processes import running
from bench.table import Row
from drivers.camera.replay import Options, open_camera
from drivers.contracts import Wanted
from drivers.errors import DriverError
from drivers.media import Frame

FPS = 10.0
"""Pictures looked at in a second, where the stream gives so many: the configuration's default."""

SETTLED_S, WATCHED_S = 4.0, 54.0
"""A program at real pace is measured from when it has started, and while the film still plays."""


def rows() -> list[Row]:
    """The rows for the table."""
    with one_core(), tempfile.TemporaryDirectory(prefix="vigie-bench-") as folder:
        main, sub = films.made(films.MAIN), films.made(films.SUB)
        fast = fast_rows(main, sub, Path(folder))
        paced = paced_rows(main, sub, Path(folder))
        return [*fast, *paced, *whole_rows(main, sub, Path(folder))]


def look(film: Path, fps: float) -> None:
    """Decode and gate, as fast as it goes."""
    camera = open_camera(
        "bench",
        Options(path=str(film), pace="fast"),
        Wanted(packets=False, frames_fps=fps),
        time.monotonic_ns,
    )
    eyes = DetectionPipeline(None)
    with contextlib.suppress(DriverError):  # The film's end, as a camera says it.
        while True:
            media = camera.read(1.0)
            if isinstance(media, Frame):
                eyes.process(media)
    camera.close()


def bare(film: Path) -> None:
    """PyAV alone, one thread."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def fast_rows(main: Path, sub: Path, folder: Path) -> list[Row]:
    """As fast as it goes, beside bare PyAV."""
    ring = folder / "ring"
    busy = films.made(films.BUSY)

    def dual() -> None:
        look(sub, films.SUB.fps)
        shutil.rmtree(ring, ignore_errors=True)
        record.Recorder(ring, 1.0, None).record(main)

    turns = in_turns({"one": lambda: look(main, FPS), "decode": lambda: bare(main)}, turns=5)
    others = in_turns(
        {
            "five": lambda: look(main, 5.0),
            "decode": lambda: bare(main),
            "busy": lambda: look(busy, FPS),
            "decode busy": lambda: bare(busy),
        },
        turns=2,
    )
    small = in_turns({"two": dual, "decode": lambda: bare(sub)})
    few = others.ratio("five", "decode")
    on_busy = others.ratio("busy", "decode busy")
    return [
        Row(
            name="one stream 1080p15: decode and gate / bare decode",
            value=turns.ratio("one", "decode"),
            unit="ratio",
            target="<= 1.08",
            note=f"{seconds(turns, 'one', 'decode')}, {FPS:g} pictures/s; with 5: {few:.2f}; "
            f"always busy: {on_busy:.2f}",
        ),
        Row(
            name="two streams: 360p5 gated, 1080p15 recorded / bare decode of the 360p5",
            value=small.ratio("two", "decode"),
            unit="ratio",
            target="<= 1.5",
            note=seconds(small, "two", "decode"),
        ),
    ]


def seconds(turns: Turns, one: str, other: str) -> str:
    """The CPU seconds behind a ratio."""
    return f"{turns.ms(one, 1000):.3f} : {turns.ms(other, 1000):.3f} s for 60 s"


def paced_s(command: Sequence[str | Path]) -> float:
    """CPU seconds of a program for 60 s at real pace, its start left out."""
    with running(command) as pid:
        time.sleep(SETTLED_S)
        began_s, before_s = time.monotonic(), process_cpu_s(pid)
        time.sleep(WATCHED_S)
        spent_s = process_cpu_s(pid) - before_s
        watched_s = time.monotonic() - began_s
    return spent_s * films.FILM_S / watched_s


def paced_rows(main: Path, sub: Path, folder: Path) -> list[Row]:
    """At real pace, beside Debian's `motion`: one after the other, on the same core."""
    paced = (sys.executable, "-m", "bench.paced")
    one = (*paced, main, "--fps", str(FPS))
    two = (*paced, sub, "--fps", str(films.SUB.fps), "--record", main, folder / "paced")
    peer_one, peer_two = motion.command(folder, main), motion.command(folder, sub, main)
    made = []
    for name, ours, peer, target, note in (
        ("one stream 1080p15", one, peer_one, "<= 0.7", "neither writes anything"),
        ("two streams, 360p5 and 1080p15", two, peer_two, "< 1", "motion records what moves"),
    ):
        ours_s = paced_s(ours)
        if peer is None:
            told = f"beside nothing: `make setup-bench` installs the peer; {ours_s:.2f} s"
            made.append(
                Row(name=f"{name}, real pace", value=ours_s, unit="s", target="-", note=told)
            )
            continue
        peer_s = paced_s(peer)
        made.append(
            Row(
                name=f"{name}, real pace / motion",
                value=ours_s / peer_s,
                unit="ratio",
                target=target,
                note=f"{ours_s:.2f} : {peer_s:.2f} s for 60 s; {note}",
            )
        )
    return made


def whole_rows(main: Path, sub: Path, folder: Path) -> list[Row]:
    """`vigie run` with a broker at real pace, with and without detection."""
    made = []
    with mosquitto(folder) as broker:
        for name, camera in (
            ("1080p15, detection and recording", box.Camera(film=main)),
            ("1080p15, recording alone", box.Camera(film=main, detect=False)),
            ("360p5 for detection, 1080p15 recorded", box.Camera(film=main, sub=sub)),
        ):
            config = box.configured(folder / name.replace(" ", "-"), camera, broker)
            spent_s = paced_s((sys.executable, "-m", "agent", "run", "--config", config))
            made.append(
                Row(
                    name=f"vigie run, {name}",
                    value=spent_s,
                    unit="s",
                    target="-",
                    note="CPU for 60 s of street, 60 would be a whole core",
                )
            )
    return made
