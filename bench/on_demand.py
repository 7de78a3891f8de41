"""Decoding on demand and the pass budget: CPU and counts, on quiet, mixed and busy film, in one run.

The CPU is of decoding and detection on one core; the people of the quiet film are frozen in it. The counts are of the labelled clips, encoded again with a
keyframe every 2 s: as they are (busy), and between still stretches of the clip's own background with new noise (mixed),
of which the first one ends in the middle of a group of pictures. Rows of the bench `agent`.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import cv2
import msgspec
import numpy as np

from agent.base.model import FrameResult
from agent.config.configuration import DetectConfig
from agent.detection.keyframe_watch import KeyframeWatch
from agent.detection.pass_budget import PassBudget
from agent.detection.pipeline import DetectionPipeline
from agent.detection.tflite import open_detector
from bench import accuracy, videos
from bench.cpu import cpu_s, run_in_turns
from bench.table import Row
from centre.validate import scoring
from drivers.camera.replay import Options, open_camera
from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame

FPS = 10.0
"""Frames per second that detection requests: the configuration's default."""
GOP_S = 2
STILL_BEFORE_S, STILL_AFTER_S = 21, 9
QUIET = msgspec.structs.replace(videos.MAIN, name="1080p15-quiet", busy_s=0)
FILMS = {"quiet": QUIET, "mixed": videos.MAIN, "busy": videos.BUSY_MAIN}
MODEL = DetectConfig().model


def rows() -> list[Row]:
    """Return the rows; those of the counts if the labels are there."""
    table = [cpu_row(name, videos.video_path(video)) for name, video in FILMS.items()]
    if accuracy.LABEL_FOLDER.is_dir():
        table += [*(count_row(name) for name in ("mixed", "busy")), *budget_rows()]
    return table


def run_pipeline(
    video: Path, pipeline: DetectionPipeline, *, on_demand: bool
) -> Iterator[FrameResult]:
    """Yield the results of the frames that detection gets, as fast as possible."""
    watch = KeyframeWatch()
    camera = open_camera(
        "bench",
        Options(path=str(video), pace="fast"),
        StreamRequest(
            packets=False, frames_fps=FPS, keyframe_watch=watch.is_wanted if on_demand else None
        ),
        lambda: 0,
    )
    with contextlib.suppress(DriverError):  # The camera raises at the end of the video.
        while True:
            media = camera.read(1.0)
            if isinstance(media, Frame):
                result = pipeline.process(media)
                watch.on_result(result)
                yield result
    camera.close()


def cpu_row(name: str, video: Path) -> Row:
    """Compare the CPU of decoding and detection."""
    detector = open_detector(MODEL)
    frames = {}

    def run(*, on_demand: bool) -> None:
        results = run_pipeline(video, DetectionPipeline(detector), on_demand=on_demand)
        frames[on_demand] = sum(1 for _ in results)

    turns = run_in_turns(
        {"demand": lambda: run(on_demand=True), "all": lambda: run(on_demand=False)}, turns=3
    )
    return Row(
        name=f"1080p15 {name}: detection, decoding on demand / decoding all",
        value=turns.ratio("demand", "all"),
        unit="ratio",
        target={"quiet": "<= 0.35", "mixed": "<= 0.6", "busy": "<= 1.03"}[name],
        note=f"{turns.ms('demand', 1000):.2f} : {turns.ms('all', 1000):.2f} s for 60 s, "
        f"{frames[True]} : {frames[False]} pictures",
    )


class ClipCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of the labelled clips, and the passes and the CPU that they took."""

    score: scoring.Score
    passes: int
    cpu_s: float


def count_clips(
    film: str, make_pipeline: Callable[[], DetectionPipeline], *, on_demand: bool
) -> ClipCounts:
    """Count the labelled clips in one of their films."""
    clips = accuracy.labelled_clips()
    films = {name: film_path(name, film) for name in clips}
    before_s, score, passes = cpu_s(), scoring.Score(), 0
    for name, labels in clips.items():
        counter = accuracy.LineCounter([accuracy.make_line(name, *labels.line)])
        for result in run_pipeline(films[name], make_pipeline(), on_demand=on_demand):
            counter.update(result)
            passes += result.inference_count
        shift_s = STILL_BEFORE_S if film == "mixed" else 0
        counted = [
            msgspec.structs.replace(crossing, t_s=crossing.t_s - shift_s)
            for crossing in counter.crossings[name]
        ]
        score += scoring.score_counts(counted, labels).score
    return ClipCounts(score=score, passes=passes, cpu_s=cpu_s() - before_s)


def count_row(film: str) -> Row:
    """Compare the counts of the labelled clips."""
    detector = open_detector(MODEL)
    every, demand = (
        count_clips(film, lambda: DetectionPipeline(detector), on_demand=on_demand)
        for on_demand in (False, True)
    )
    return Row(
        name=f"labelled clips, {film}: F1 of decoding on demand, less that of decoding all",
        value=demand.score.f1 - every.score.f1,
        unit="",
        target=">= -0.01",
        note=f"{demand.score.f1:.3f} : {every.score.f1:.3f}, misses {demand.score.misses} : "
        f"{every.score.misses}, extras {demand.score.extras} : {every.score.extras}; CPU with "
        f"inference {demand.cpu_s:.1f} : {every.cpu_s:.1f} s",
    )


def budget_rows() -> list[Row]:
    """Compare the counts under strain: a busy camera with an equal part of the passes, or next to a still one."""
    detector = open_detector(MODEL)

    def count(needs_of_others: Sequence[float] | None) -> ClipCounts:
        def make_pipeline() -> DetectionPipeline:
            budget = PassBudget()
            budget.set_strained(is_strained=needs_of_others is not None)
            passes = budget.join()
            for need_per_s in needs_of_others or ():
                budget.report(budget.join(), need_per_s, t_ns=0)
            return DetectionPipeline(detector, passes=passes)

        return count_clips("busy", make_pipeline, on_demand=False)

    free, shared, equal = count(None), count((0.5,)), count(())
    return [
        Row(
            name=f"labelled clips, busy, under strain, {title}: F1, less that without strain",
            value=strained.score.f1 - free.score.f1,
            unit="",
            target=target,
            note=f"{strained.score.f1:.3f} : {free.score.f1:.3f}, passes {strained.passes} : {free.passes}, "
            f"CPU {strained.cpu_s:.1f} : {free.cpu_s:.1f} s",
        )
        for title, strained, target in (
            ("next to a still camera", shared, ">= -0.01"),
            ("as one of busy cameras", equal, ">= -0.05"),
        )
    ]


def film_path(clip: str, film: str) -> Path:
    """Return the film of a clip, made at the first call."""
    path = videos.FOLDER / f"{clip}-{film}.mp4"
    if not path.exists():
        videos.FOLDER.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.mp4")
        encode_film(accuracy.clip_path(clip), unfinished, with_still=film == "mixed")
        unfinished.rename(path)
    return path


def encode_film(clip: Path, path: Path, *, with_still: bool) -> None:
    """Encode a clip again as a camera does, with or without still stretches around it."""
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        rate = Fraction(float(stream.average_rate or 25)).limit_denominator(1001)
        pictures = [
            np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)
            for frame in source.decode(stream)
        ]
    background = np.asarray(np.median(np.stack(pictures[::8]), axis=0), np.uint8)
    rng = np.random.default_rng(1)

    def still(seconds: int) -> Iterator[videos.I420]:
        for _ in range(round(seconds * rate)):
            noise = np.asarray(rng.normal(0, videos.NOISE, background.shape))
            yield np.asarray(cv2.add(background, noise, dtype=cv2.CV_8U), np.uint8)

    film = chain(still(STILL_BEFORE_S), pictures, still(STILL_AFTER_S)) if with_still else pictures
    options = {"preset": "veryfast", "profile": "main", "bf": "0", "sc_threshold": "0", "crf": "18"}
    with av.open(str(path), "w") as out:
        encoder = out.add_stream("libx264", rate=rate, options=options)
        encoder.height, encoder.width = background.shape[0] * 2 // 3, background.shape[1]
        encoder.pix_fmt, encoder.codec_context.gop_size = "yuv420p", round(GOP_S * rate)
        for index, planes in enumerate(film):
            picture = av.VideoFrame.from_ndarray(planes, "yuv420p")
            picture.pts, picture.time_base = index, 1 / rate
            out.mux(encoder.encode(picture))
        out.mux(encoder.encode(None))
