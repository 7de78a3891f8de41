"""CPU of a fisheye camera with four views against a plain camera of the same pixels, both busy, and of dewarping alone.

Decoding, dewarping, motion gate, tracker and detector, with the default model; ten frames a second are detected on. The
plain film is the street of the benches. In the fisheye film the street is in each of four quarters. Run:
`python -m bench fisheye`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np

from agent.config.configuration import DetectConfig
from agent.config.fisheye import ViewOptions
from agent.detection.dewarp import Dewarper
from agent.detection.fisheye_lens import FisheyeLens
from agent.detection.pass_budget import PassBudget
from agent.detection.pipeline import DetectionPipeline, PipelineSettings
from agent.detection.tflite import TfliteDetector, open_detector
from bench import videos
from bench.cpu import one_core, run_in_turns
from bench.fisheye_film import FisheyeFilm
from bench.table import Row
from drivers.av_stream import FrameSelector, frame_planes
from drivers.media import NS_PER_S, Frame, Planes

SIZE_PX = 1440
"""As many pixels as 1920x1080."""
LENS = FisheyeLens(focal_length=0.31)
VIEWS = tuple(
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
FRAMES = 150
DETECT_FPS = 10.0
TURNS = 3


def fisheye_path() -> Path:
    """Return the fisheye film, made at the first call."""
    path = videos.FOLDER / f"{videos.video_path(videos.BUSY_MAIN).stem}-fisheye.mp4"
    if not path.exists():
        unfinished = path.with_suffix(".part.mp4")
        _encode(unfinished)
        unfinished.rename(path)
    return path


def _encode(path: Path) -> None:
    film = FisheyeFilm(LENS, VIEWS, SIZE_PX, SIZE_PX)
    options = {"preset": "veryfast", "profile": "main", "bf": "0", "sc_threshold": "0"}
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=videos.BUSY_MAIN.fps, options=options)
        stream.width, stream.height, stream.pix_fmt = SIZE_PX, SIZE_PX, "yuv420p"
        stream.codec_context.gop_size = 2 * videos.BUSY_MAIN.fps
        stream.bit_rate = videos.BUSY_MAIN.bit_rate
        for frame in _decode(videos.video_path(videos.BUSY_MAIN)):
            planes = film.warp(_reduce(frame))
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
            planes: Planes = frame_planes(picture)
            t_ns = number * NS_PER_S // videos.BUSY_MAIN.fps
            yield Frame(seq=number, t_ns=t_ns, y=planes[0], u=planes[1], v=planes[2])


def run_plain(detector: TfliteDetector) -> int:
    """Detect on the plain film. Return the passes."""
    pipeline, selector = DetectionPipeline(detector), FrameSelector(DETECT_FPS)
    frames = _decode(videos.video_path(videos.BUSY_MAIN))
    return sum(pipeline.process(one).inference_count for one in frames if selector.select(one.t_ns))


def run_views(detector: TfliteDetector, dewarpers: list[Dewarper]) -> int:
    """Detect on the views of the fisheye film. Return the passes."""
    budget = PassBudget(usual_per_s=PipelineSettings().max_inferences_per_s)
    pipelines = [DetectionPipeline(detector, passes=budget.join()) for _ in dewarpers]
    selector, passes = FrameSelector(DETECT_FPS), 0
    for frame in _decode(fisheye_path()):
        if selector.select(frame.t_ns):
            for dewarper, pipeline in zip(dewarpers, pipelines, strict=True):
                passes += pipeline.process(dewarper.dewarp(frame)).inference_count
    return passes


def rows() -> list[Row]:
    """Return the rows of the table."""
    detector = open_detector(DetectConfig().model)
    dewarpers = [Dewarper(LENS, view) for view in VIEWS]
    fisheye_path()
    passes: dict[str, int] = {}

    def counting(name: str, run: Callable[[], int]) -> Callable[[], None]:
        def work() -> None:
            passes[name] = run()

        return work

    still = next(_decode(fisheye_path()))
    with one_core():
        turns = run_in_turns(
            {
                "plain": counting("plain", lambda: run_plain(detector)),
                "views": counting("views", lambda: run_views(detector, dewarpers)),
                "dewarp": lambda: _repeat(lambda: [one.dewarp(still) for one in dewarpers]),
            },
            TURNS,
        )
    return [
        Row(
            name="fisheye camera with four views / plain camera of the same pixels, both busy, CPU",
            value=turns.ratio("views", "plain"),
            unit="ratio",
            target="<= 1.3",
            note=f"decoding and detection of 10 s: {turns.ms('views', 1):.0f} and {turns.ms('plain', 1):.0f} ms, "
            f"passes {passes['views']} and {passes['plain']}",
        ),
        Row(
            name="dewarp a frame of 1440x1440 into four views of 960x540, CPU",
            value=turns.ms("dewarp", FRAMES),
            unit="ms",
            target="-",
        ),
    ]


def _repeat(work: Callable[[], object]) -> None:
    for _ in range(FRAMES):
        work()
