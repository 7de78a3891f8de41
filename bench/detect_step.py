"""Cost of the work around an inference: crops, conversion, decoding, suppression; part of `python -m bench detect`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from agent.config.configuration import DetectConfig
from agent.detection import image
from agent.detection.image import Region
from agent.detection.model_card import list_model_names
from agent.detection.tflite import TfliteDetector, open_detector
from bench import accuracy, videos
from bench.cpu import TurnTimes, cpu_s
from bench.table import Row
from drivers.media import Frame

MODEL = DetectConfig().model
CLIPS = {"busy junction": "jamcamdet_raw1", "quiet night": "tfl_625_201709042122"}
CLIP_EVERY = 20


def rows() -> list[Row]:
    """Return the rows of the table."""
    return [*step_rows(), *decode_rows()]


def step_rows() -> list[Row]:
    """Compare a frame's way from planes to detections with the interpreter's bare `invoke`.

    A frame is written before its step, outside of the measured time: in the agent the decoder has just written it,
    while here the previous invoke has evicted it from the cache.
    """
    frames = videos.read_frames(videos.BUSY_MAIN, 2, every=15) * 15
    detector = open_detector(MODEL)
    regions = {
        "crop of 424 px": Region(700, 400, 424, 424),
        "whole 1080p": image.full_region(frames[0]),
    }
    table = []
    for name, region in regions.items():
        works = [_step_work(detector, frame, region) for frame in frames]
        turns = _in_turns_with_invoke(detector, works, [_rewrite_work(frame) for frame in frames])
        table.append(_row(f"detect step / bare invoke, {name}", turns, detector, "<= 1.1"))
    return table


def _step_work(detector: TfliteDetector, frame: Frame, region: Region) -> Callable[[], Any]:
    return lambda: detector.detect(image.crop_rgb(frame, region, detector.input_size_px))


def _rewrite_work(frame: Frame) -> Callable[[], None]:
    def work() -> None:
        for plane in (frame.y, frame.u, frame.v):
            np.copyto(plane, plane.copy())

    return work


def decode_rows() -> list[Row]:
    """Compare the detector's work on one picture, decoding included, with the bare `invoke`, for each model and clip.

    The pictures are whole frames and crops of the middle.
    """
    table = []
    for model in list_model_names():
        detector = open_detector(model)
        for clip_name, frames in _clips().items():
            pictures = [
                image.crop_rgb(frame, region, detector.input_size_px)
                for frame in frames
                for region in (image.full_region(frame), _middle_region(frame))
            ]
            works = [_detect_work(detector, picture) for picture in pictures]
            turns = _in_turns_with_invoke(detector, works)
            table.append(
                _row(f"detect with decoding / bare invoke, {clip_name}", turns, detector, "<= 1.15")
            )
    return table


def _clips() -> dict[str, list[Frame]]:
    """Return frames of real streets, or of the rendered one without them."""
    if not accuracy.FOOTAGE_FOLDER.is_dir():
        return {"rendered street": videos.read_frames(videos.BUSY_MAIN, 10, every=30)}
    return {
        name: [
            frame
            for index, frame in enumerate(accuracy.read_frames(accuracy.clip_path(clip)))
            if index % CLIP_EVERY == 0
        ]
        for name, clip in CLIPS.items()
    }


def _middle_region(frame: Frame) -> Region:
    """Return a square of half the frame's height."""
    side = frame.height_px // 4 * 2
    return Region((frame.width_px - side) // 4 * 2, (frame.height_px - side) // 4 * 2, side, side)


def _detect_work(detector: TfliteDetector, picture: image.Rgb) -> Callable[[], Any]:
    return lambda: detector.detect(picture)


def _in_turns_with_invoke(
    detector: TfliteDetector,
    works: Sequence[Callable[[], Any]],
    preparations: Sequence[Callable[[], None]] = (),
) -> TurnTimes:
    """Return the mean CPU of a work, and of the invoke that follows each, over seven turns.

    Both take turns on one interpreter, so that both find its weights in the cache equally.
    """
    with detector.interpreters.borrowed() as interpreter:
        invoke = interpreter.invoke
    seconds_by_work: dict[str, list[float]] = {"ours": [], "invoke": []}
    for work in works:
        work()
    for _ in range(7):
        work_s = invoke_s = 0.0
        for index, work in enumerate(works):
            if preparations:
                preparations[index]()
            start_s = cpu_s()
            work()
            end_s = cpu_s()
            invoke()
            work_s += end_s - start_s
            invoke_s += cpu_s() - end_s
        seconds_by_work["ours"].append(work_s / len(works))
        seconds_by_work["invoke"].append(invoke_s / len(works))
    return TurnTimes({name: tuple(seconds) for name, seconds in seconds_by_work.items()})


def _row(name: str, turns: TurnTimes, detector: TfliteDetector, target: str) -> Row:
    return Row(
        name=f"{name}, {detector.card.name}",
        value=turns.ratio("ours", "invoke"),
        unit="ratio",
        target=target,
        note=f"{turns.ms('ours', 1):.2f} : {turns.ms('invoke', 1):.2f} ms",
    )
