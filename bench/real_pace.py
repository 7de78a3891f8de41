"""Programs at real pace on one core, in turns: the agent, its floor, Debian's `motion` and GStreamer.

CPU seconds are of all threads, for 60 s of video, without a program's start. Rows of the bench `agent`.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from agent.detection.pipeline import DetectionPipeline
from agent.detection.tflite import TfliteDetector, open_detector
from bench import box, on_demand, record, videos
from bench.cpu import TurnTimes, Work, process_cpu_s, run_in_turns
from bench.decode import decode_bare
from bench.mosquitto import running_mosquitto
from bench.peers import gstreamer, motion
from bench.processes import running_process
from bench.table import Row

SETTLE_S = 4.0
"""A program is measured after its start."""

MIXED_S, BUSY_S = 54.0, 24.0
"""Measured time of a film that is still for three quarters, and of one that is busy from its begin on."""

MIXED_TURNS, BUSY_TURNS = 2, 3

Command = Sequence[str | Path]
MakeCommand = Callable[[Path], Command | None]
"""Return the command line of a program that writes into a folder, or None if it is not installed."""


def rows(main: Path, sub: Path, folder: Path) -> list[Row]:
    """Return the rows of the table. `main` and `sub` are still for three quarters of the time."""
    with running_mosquitto(folder) as broker:
        one, two = box.CameraSetup(video=main), box.CameraSetup(video=main, sub=sub)
        recorded = box.CameraSetup(video=main, detect=False)
        one_turns = take_turns(
            {
                "agent": partial(agent_command, one, broker),
                "recording": partial(agent_command, recorded, broker),
                "stages": lambda _: (*_STAGES, main, "--fps", str(on_demand.FPS)),
                "motion": lambda run: motion.motion_command(run, main),
            },
            folder,
        )
        two_turns = take_turns(
            {
                "agent": partial(agent_command, two, broker),
                "stages": lambda run: (
                    *(*_STAGES, sub, "--fps", str(videos.SUB.fps)),
                    *("--record", main, run),
                ),
                "motion": lambda run: motion.motion_command(run, sub, main),
                "gstreamer": lambda run: gstreamer.gstreamer_command(run, sub, main),
            },
            folder,
        )
        quiet = videos.video_path(on_demand.QUIET)
        quiet_turns = take_turns(
            {
                "agent": partial(agent_command, box.CameraSetup(video=quiet), broker),
                "motion": lambda run: motion.motion_command(run, quiet),
            },
            folder,
        )
        return [
            peer_row(
                one_turns,
                "one stream 1080p15, real pace",
                ("stages", "motion"),
                "<= 0.7",
                "neither writes anything",
            ),
            peer_row(
                two_turns,
                "two streams, 360p5 and 1080p15, real pace",
                ("stages", "motion"),
                "< 1",
                "motion records what moves",
            ),
            peer_row(
                two_turns,
                "two streams, 360p5 and 1080p15, real pace",
                ("stages", "gstreamer"),
                "aim <= 1.1",
                "GStreamer decodes and records alone",
            ),
            *busy_rows(broker, folder),
            *(
                peer_row(
                    turns,
                    f"vigie run, {film} 1080p15, detection and recording",
                    ("agent", "motion"),
                    target,
                    "motion detects no road users and writes nothing",
                )
                for film, turns, target in (
                    ("mixed", one_turns, "aim <= 0.5"),
                    ("quiet", quiet_turns, "aim <= 0.2"),
                )
            ),
            seconds_row(one_turns, "vigie run, 1080p15, recording alone", "recording"),
            seconds_row(two_turns, "vigie run, 360p5 for detection, 1080p15 recorded", "agent"),
        ]


_STAGES = (sys.executable, "-m", "bench.paced")


def busy_rows(broker: str, folder: Path) -> list[Row]:
    """Compare `vigie run` on a busy street with its floor, and with `motion`."""
    main, sub = videos.video_path(videos.BUSY_MAIN), videos.video_path(videos.BUSY_SUB)
    table = []
    for name, camera in (
        ("busy 1080p15", box.CameraSetup(video=main)),
        ("busy 360p5, 1080p15 recorded", box.CameraSetup(video=main, sub=sub)),
    ):
        programs: dict[str, MakeCommand] = {"agent": partial(agent_command, camera, broker)}
        if camera.sub is None:
            programs["motion"] = lambda run: motion.motion_command(run, main)
        watched, detector = camera.sub or main, open_detector(on_demand.MODEL)
        passes = count_passes(watched, detector)
        turns = run_in_turns(
            {
                "floor": partial(run_floor, watched, main, detector, passes, folder),
                **program_works(programs, folder, BUSY_S),
            },
            turns=BUSY_TURNS,
            warm_up=False,
        )
        table.append(
            Row(
                name=f"vigie run, {name} / decode, inference and copy",
                value=turns.ratio("agent", "floor"),
                unit="ratio",
                target="aim <= 1.05",
                note=f"{format_seconds(turns, 'agent', 'floor')}, {passes} passes",
            )
        )
        if "motion" in programs:
            table.append(
                peer_row(
                    turns,
                    f"vigie run, {name}",
                    ("agent", "motion"),
                    "-",
                    "motion detects no road users and writes nothing",
                )
            )
    return table


def agent_command(camera: box.CameraSetup, broker: str, folder: Path) -> Command:
    """Return the command line of `vigie run` with one camera."""
    config = box.write_config(folder / "box", camera, broker)
    return sys.executable, "-m", "agent", "run", "--config", config


def take_turns(programs: Mapping[str, MakeCommand], folder: Path) -> TurnTimes:
    """Run programs on a film that is not busy all the time."""
    return run_in_turns(program_works(programs, folder, MIXED_S), turns=MIXED_TURNS, warm_up=False)


def program_works(
    programs: Mapping[str, MakeCommand], folder: Path, measure_s: float
) -> dict[str, Work]:
    """Return the CPU seconds of the programs that are installed, for 60 s in real time, each run in its own folder."""

    def run(make_command: MakeCommand) -> float:
        command = make_command(Path(tempfile.mkdtemp(dir=folder)))
        assert command is not None
        with running_process(command) as pid:
            time.sleep(SETTLE_S)
            start_s, cpu_before_s = time.monotonic(), process_cpu_s(pid)
            time.sleep(measure_s)
            cpu_used_s = process_cpu_s(pid) - cpu_before_s
            elapsed_s = time.monotonic() - start_s
        return cpu_used_s * videos.VIDEO_S / elapsed_s

    return {
        name: partial(run, make_command)
        for name, make_command in programs.items()
        if make_command(Path(tempfile.mkdtemp(dir=folder))) is not None
    }


def count_passes(watched: Path, detector: TfliteDetector) -> int:
    """Return the passes of the pipeline in 60 s, by those in the time that is measured."""
    pipeline = DetectionPipeline(detector)
    begin_ns, end_ns = SETTLE_S * 1e9, (SETTLE_S + BUSY_S) * 1e9
    passes = sum(
        result.inference_count
        for result in on_demand.run_pipeline(watched, pipeline, on_demand=False)
        if begin_ns <= result.t_ns < end_ns
    )
    return round(passes * videos.VIDEO_S / BUSY_S)


def run_floor(
    watched: Path, recorded: Path, detector: TfliteDetector, passes: int, folder: Path
) -> None:
    """Decode and copy with PyAV alone, and run the model's passes."""
    decode_bare(watched, frames=None)
    record.stream_copy(recorded, folder)
    with detector.interpreters.borrowed() as interpreter:
        for _ in range(passes):
            interpreter.invoke()


def peer_row(turns: TurnTimes, name: str, works: tuple[str, str], target: str, note: str) -> Row:
    """Return the row of a work next to a peer, or of the work alone if the peer is not installed."""
    own, peer = works
    if peer not in turns.seconds:
        note = "next to nothing: `make setup-bench` installs the peer"
        return Row(name=name, value=turns.ms(own, 1000), unit="s", target="-", note=note)
    return Row(
        name=f"{name} / {peer}",
        value=turns.ratio(own, peer),
        unit="ratio",
        target=target,
        note=f"{format_seconds(turns, own, peer)}; {note}",
    )


def seconds_row(turns: TurnTimes, name: str, work: str) -> Row:
    """Return the row of a work's CPU seconds."""
    note = "CPU for 60 s of street, 60 would be a whole core"
    return Row(name=name, value=turns.ms(work, 1000), unit="s", target="-", note=note)


def format_seconds(turns: TurnTimes, one: str, other: str) -> str:
    """Format the CPU seconds behind a ratio."""
    return f"{turns.ms(one, 1000):.3f} : {turns.ms(other, 1000):.3f} s for 60 s"
