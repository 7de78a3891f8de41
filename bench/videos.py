"""Videos of the benches: one street for 60 s, in a camera's two streams.

The street is the PETS 2009 clip of OpenCV's documentation, in real time, cut to 16:9, enlarged, with new
sensor noise in every frame; without it, the rendered street of `simulation.camera.fake`. In MAIN and SUB the
street is still for three quarters of the time, one frame with its noise, and then busy. In BUSY it is busy
all the time. Encoded as cameras do: H.264 Main, no B-frames, a keyframe every 2 s. They are made once and
kept in `.cache/bench/`.
"""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.video
import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from drivers.av_stream import frame_planes
from drivers.contracts import StreamRequest
from drivers.media import Frame
from simulation.camera import fake

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".cache" / "bench"
SOURCE_CLIP = ROOT.parent / "shared" / "footage" / "opencv_vtest.avi"
VIDEO_S = 60
NOISE = 2.0
"""Standard deviation of luma, in steps of 255."""

I420 = npt.NDArray[np.uint8]
"""A frame as I420: (H * 3 / 2) x W."""


class Video(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of the camera."""

    name: str
    width_px: int
    height_px: int
    fps: int
    bit_rate: int
    busy_s: int = 15

    @property
    def frames(self) -> int:
        """The number of frames."""
        return VIDEO_S * self.fps


MAIN = Video(name="1080p15", width_px=1920, height_px=1080, fps=15, bit_rate=3_000_000)
BUSY_MAIN = msgspec.structs.replace(MAIN, name="1080p15-busy", busy_s=VIDEO_S)
SUB = Video(name="360p5", width_px=640, height_px=360, fps=5, bit_rate=250_000)
BUSY_SUB = msgspec.structs.replace(SUB, name="360p5-busy", busy_s=VIDEO_S)


def has_clip() -> bool:
    """Return True if the real street is installed; otherwise the rendered one is used."""
    return SOURCE_CLIP.exists()


NO_LABELS_NOTE = (
    "no folder `shared` next to the project: pictures are of the rendered street, "
    "and what needs labels is left out"
)


def describe_source() -> str:
    """Describe the videos' content in a few words."""
    return "PETS 2009 (vtest.avi), enlarged" if has_clip() else "the rendered street"


def video_path(video: Video) -> Path:
    """Return the video's file, made at the first call."""
    path = FOLDER / f"{'pets' if has_clip() else 'rendered'}-{video.name}.mp4"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.mp4")
        _encode(video, unfinished)
        unfinished.rename(path)
    return path


def read_frames(video: Video, count: int, every: int = 1) -> list[Frame]:
    """Return frames of a video, one of `every`, copied out of the decoder."""
    found = []
    with av.open(str(video_path(video))) as source:
        pictures = itertools.islice(source.decode(video=0), 0, count * every, every)
        for seq, picture in enumerate(pictures):
            y, u, v = (plane.copy() for plane in frame_planes(picture))
            t_ns = round(seq * every * 1e9 / video.fps)
            found.append(Frame(seq=seq, t_ns=t_ns, y=y, u=u, v=v))
    return found


def _encode(video: Video, path: Path) -> None:
    options = {"preset": "veryfast", "profile": "main", "bf": "0", "sc_threshold": "0"}
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=video.fps, options=options)
        stream.width, stream.height, stream.pix_fmt = video.width_px, video.height_px, "yuv420p"
        stream.codec_context.gop_size = 2 * video.fps
        stream.bit_rate = video.bit_rate
        for index, planes in enumerate(_pictures(video)):
            picture = av.VideoFrame.from_ndarray(planes, "yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, video.fps)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))


def _pictures(video: Video) -> Iterator[I420]:
    """Yield all frames: one still of the street, then the street from there on, with noise in each."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, NOISE, (video.height_px + 64, video.width_px + 64)).astype(np.int8)
    street = _real_pictures(video) if has_clip() else _rendered_pictures(video)
    planes = next(street)
    for index in range(video.frames):
        if index > (VIDEO_S - video.busy_s) * video.fps:
            planes = next(street)
        y, x = rng.integers(0, 64, 2)
        noise_patch = noise[y : y + video.height_px, x : x + video.width_px]
        luma = cv2.add(planes[: video.height_px], noise_patch, dtype=cv2.CV_8U)
        yield np.vstack([np.asarray(luma, np.uint8), planes[video.height_px :]])


def _real_pictures(video: Video) -> Iterator[I420]:
    """Yield the clip in a loop, each frame for its duration."""
    video_time_s = 0.0
    while True:
        with av.open(str(SOURCE_CLIP)) as clip:
            stream = clip.streams.video[0]
            step_s = float(1 / (stream.average_rate or Fraction(10)))
            for picture in clip.decode(stream):
                video_time_s += step_s
                planes = _enlarge(picture, video)
                while video_time_s >= 1 / video.fps:
                    video_time_s -= 1 / video.fps
                    yield planes


def _enlarge(picture: av.VideoFrame, video: Video) -> I420:
    """Return the middle of a frame in the video's shape and size."""
    bgr: npt.NDArray[np.uint8] = np.asarray(picture.to_ndarray(format="bgr24"), np.uint8)
    height = bgr.shape[1] * video.height_px // video.width_px
    top = (bgr.shape[0] - height) // 2
    size = (video.width_px, video.height_px)
    scaled = cv2.resize(bgr[top : top + height], size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_BGR2YUV_I420), np.uint8)


def _rendered_pictures(video: Video) -> Iterator[I420]:
    options = fake.Options(
        width_px=video.width_px,
        height_px=video.height_px,
        fps=video.fps,
        noise=0.0,
        pace="fast",
    )
    request = StreamRequest(packets=False, frames_fps=float("inf"))
    camera = fake.open_camera("bench", options, request, lambda: 0)
    while True:
        frame = camera.read(1.0)
        if isinstance(frame, Frame):
            flat = np.concatenate([frame.y.ravel(), frame.u.ravel(), frame.v.ravel()])
            yield flat.reshape(-1, video.width_px)
