"""CPU of a fisheye camera with four views against a plain camera of the same pixels, of dewarping alone, and its counts.

Decoding, dewarping, motion gate, tracker and detector, with the default model; ten frames a second are detected on. The
plain film is the busy street of the benches. In the fisheye films the same street is seen in two opposite views, and
stands still in the others, as from a pole at a road; or in all four, which are four times as many road users. Run:
`python -m bench fisheye`.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import av
import msgspec
import numpy as np

from agent.config.configuration import DetectConfig
from agent.config.fisheye import ViewOptions
from agent.detection.dewarp import Dewarper, share
from agent.detection.fisheye_lens import FisheyeLens
from agent.detection.pass_budget import PassBudget
from agent.detection.pipeline import DetectionPipeline, PipelineSettings
from agent.detection.tflite import TfliteDetector, open_detector
from bench import accuracy, videos
from bench.cpu import one_core, run_in_turns
from bench.fisheye_film import FisheyeFilm
from bench.table import Row
from centre.validate.crossing_truth import ClipTruth
from centre.validate.scoring import Score, score_counts
from drivers.av_stream import FrameSelector, frame_planes
from drivers.media import NS_PER_S, Frame

SIZE_PX = 1440
"""As many pixels as 1920x1080."""
LENS = FisheyeLens(focal_length=0.31)
FILM_VIEWS = tuple(
    ViewOptions(
        camera="around",
        pan_deg=pan_deg,
        tilt_deg=-40.0,
        field_of_view_deg=90.0,
        width_px=960,
        height_px=540,
    )
    for pan_deg in (0.0, 90.0, 180.0, -90.0)
)
VIEWS = tuple(msgspec.structs.replace(view, width_px=720, height_px=404) for view in FILM_VIEWS)
"""With the pixels per degree of the fisheye picture, about 7.5 near their middle."""
BUSY_VIEWS = {"two": FILM_VIEWS[::2], "four": FILM_VIEWS}
"""The views in which the street is busy, by their number."""
FRAMES = 150
DETECT_FPS = 10.0
TURNS = 5


def fisheye_path(busy: str) -> Path:
    """Return a fisheye film, made at the first call."""
    path = videos.FOLDER / f"{videos.video_path(videos.BUSY_MAIN).stem}-fisheye-{busy}.mp4"
    if not path.exists():
        unfinished = path.with_suffix(".part.mp4")
        _encode(unfinished, BUSY_VIEWS[busy])
        unfinished.rename(path)
    return path


def _encode(path: Path, busy_views: Sequence[ViewOptions]) -> None:
    film = FisheyeFilm(LENS, busy_views, SIZE_PX, SIZE_PX)
    frames = [_reduce(frame) for frame in _decode(videos.video_path(videos.BUSY_MAIN))]
    still = FisheyeFilm(LENS, FILM_VIEWS, SIZE_PX, SIZE_PX).warp(frames[0])
    options = {"preset": "veryfast", "profile": "main", "bf": "0", "sc_threshold": "0"}
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=videos.BUSY_MAIN.fps, options=options)
        stream.width, stream.height, stream.pix_fmt = SIZE_PX, SIZE_PX, "yuv420p"
        stream.codec_context.gop_size = 2 * videos.BUSY_MAIN.fps
        stream.bit_rate = videos.BUSY_MAIN.bit_rate
        for frame in frames:
            planes = film.warp(frame, still)
            flat = np.concatenate([plane.reshape(-1) for plane in planes]).reshape(-1, SIZE_PX)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(flat, "yuv420p")))
        out.mux(stream.encode(None))


def _reduce(frame: Frame) -> Frame:
    y, u, v = (np.ascontiguousarray(plane[::2, ::2]) for plane in (frame.y, frame.u, frame.v))
    return Frame(seq=frame.seq, t_ns=frame.t_ns, y=y, u=u, v=v)


def _decode(path: Path) -> Iterator[Frame]:
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        for number, picture in enumerate(source.decode(stream)):
            if number == FRAMES:
                return
            y, u, v = frame_planes(picture)
            t_ns = number * NS_PER_S // videos.BUSY_MAIN.fps
            yield Frame(seq=number, t_ns=t_ns, y=y, u=u, v=v)


def run_plain(detector: TfliteDetector) -> None:
    """Detect on the plain film."""
    pipeline, selector = DetectionPipeline(detector), FrameSelector(DETECT_FPS)
    for frame in _decode(videos.video_path(videos.BUSY_MAIN)):
        if selector.select(frame.t_ns):
            pipeline.process(frame)


def run_views(detector: TfliteDetector, dewarpers: Sequence[Dewarper], busy: str) -> None:
    """Detect on the views of a fisheye film."""
    budget = PassBudget(usual_per_s=PipelineSettings().max_inferences_per_s)
    pipelines = [DetectionPipeline(detector, passes=budget.join()) for _ in dewarpers]
    selector = FrameSelector(DETECT_FPS)
    for frame in _decode(fisheye_path(busy)):
        if selector.select(frame.t_ns):
            shared = share(frame)
            for dewarper, pipeline in zip(dewarpers, pipelines, strict=True):
                pipeline.process(dewarper.dewarp(shared))


def dewarp_whole(dewarpers: Sequence[Dewarper], frame: Frame) -> None:
    """Dewarp all planes of all views, which the agent does for pictures alone."""
    for _ in range(FRAMES):
        for dewarper in dewarpers:
            view = dewarper.dewarp(frame)
            view.part(0, 0, view.width_px, view.height_px)


def count_clip(detector: TfliteDetector, name: str, labels: ClipTruth, *, bent: bool) -> Score:
    """Count a labelled film, as it is or in the flat view of a fisheye lens that has bent it."""
    pipeline = DetectionPipeline(detector)
    counter = accuracy.LineCounter([accuracy.make_line(name, *labels.line)])
    selector = FrameSelector(DETECT_FPS)
    film, dewarper = None, None
    for frame in _clip_frames(accuracy.clip_path(name)):
        if not selector.select(frame.t_ns):
            continue
        if film is None or dewarper is None:
            view = msgspec.structs.replace(
                FILM_VIEWS[0], width_px=frame.width_px, height_px=frame.height_px
            )
            # As many pixels per radian in the middle as the film has.
            size_px = round(frame.width_px / 2 / LENS.focal_length) // 2 * 2
            film, dewarper = FisheyeFilm(LENS, (view,), size_px, size_px), Dewarper(LENS, view)
        seen = frame
        if bent:
            y, u, v = film.warp(frame)
            seen = dewarper.dewarp(Frame(seq=frame.seq, t_ns=frame.t_ns, y=y, u=u, v=v))
        counter.update(pipeline.process(seen))
    return score_counts(counter.crossings[name], labels).score


def _clip_frames(path: Path) -> Iterator[Frame]:
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        rate = float(stream.average_rate or 25)
        for number, picture in enumerate(source.decode(stream)):
            width_px, height_px = picture.width // 2 * 2, picture.height // 2 * 2
            y, u, v = frame_planes(picture)
            half = np.s_[: height_px // 2, : width_px // 2]
            t_ns = round(number * NS_PER_S / rate)
            yield Frame(seq=number, t_ns=t_ns, y=y[:height_px, :width_px], u=u[half], v=v[half])


def count_row(detector: TfliteDetector) -> Row:
    """Compare the counts of the labelled films with those in the view of a fisheye lens."""
    clips = accuracy.labelled_clips()
    plain, bent = Score(), Score()
    for name, labels in clips.items():
        plain += count_clip(detector, name, labels, bent=False)
        bent += count_clip(detector, name, labels, bent=True)
    return Row(
        name="labelled films in a view of a fisheye lens: F1, less that of the films",
        value=bent.f1 - plain.f1,
        unit="",
        target=">= -0.01",
        note=f"{bent.f1:.3f} : {plain.f1:.3f}, misses {bent.misses} : {plain.misses}, extras {bent.extras} : {plain.extras}",
    )


def rows() -> list[Row]:
    """Return the rows of the table."""
    detector = open_detector(DetectConfig().model)
    dewarpers = [Dewarper(LENS, view) for view in VIEWS]
    frame = next(_decode(fisheye_path("four")))
    with one_core():
        turns = run_in_turns(
            {
                "plain": partial(run_plain, detector),
                **{busy: partial(run_views, detector, dewarpers, busy) for busy in BUSY_VIEWS},
                "whole": partial(dewarp_whole, dewarpers, frame),
            },
            TURNS,
        )
    ratios = [
        Row(
            name=f"fisheye camera, {busy} of four views busy / busy plain camera of the same pixels, CPU",
            value=turns.ratio(busy, "plain"),
            unit="ratio",
            target="<= 1.3",
            note=f"decoding and detection of 10 s: {turns.ms(busy, 1):.0f} and {turns.ms('plain', 1):.0f} ms",
        )
        for busy in BUSY_VIEWS
    ]
    whole = turns.ms("whole", FRAMES)
    name = "four whole views of 720x404 from a frame of 1440x1440, CPU"
    table = [*ratios, Row(name=name, value=whole, unit="ms", target="-")]
    return [*table, count_row(detector)] if accuracy.LABEL_FOLDER.is_dir() else table
