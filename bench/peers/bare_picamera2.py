"""Picamera2 alone, in one process, with the two streams of the driver `csi`.

The large stream is encoded, the small one copied at the rate of detection; the output is dropped. Run in
its own process: `bare_picamera2.py WHAT PLAN`, where WHAT is `stock` (Picamera2's own encoder), `ours`
(the driver's encoder) or `pipeline` (the camera runs and its frames are ignored), and PLAN is the JSON of
a `Plan`. It prints its measurement once it has settled.
"""

import resource
import sys
import time
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import picamera2
from picamera2.encoders.libav_h264_encoder import LibavH264Encoder
from picamera2.outputs import Output

from drivers.av_stream import FrameSelector
from drivers.csi import encoders, picamera2_setup
from drivers.csi.options import Options


class MeasurementPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Settings and duration of a run."""

    options: Options
    frames_fps: float
    settled_s: float
    watched_s: float


class CsiCost(msgspec.Struct, frozen=True, kw_only=True):
    """The media of the measured time, and the CPU seconds of all threads."""

    cpu_s: float
    measured_s: float
    packets: int
    frames: int


class MediaCounts:
    """Counts the media so far."""

    def __init__(self) -> None:
        self.packets = 0
        self.frames = 0


class CountingOutput(Output):  # type: ignore[misc] # it has no types
    """Takes packets and drops them."""

    def __init__(self, counts: MediaCounts) -> None:
        super().__init__()
        self._counts = counts

    def outputframe(self, frame: Any, *_: Any, **__: Any) -> None:
        """Copy the bytes, as every program must: they belong to the encoder."""
        bytes(frame)
        self._counts.packets += 1


def stock_encoder(options: Options) -> LibavH264Encoder:
    """Picamera2's encoder with the driver's settings."""
    encoder = LibavH264Encoder(
        bitrate=options.bitrate_kbit_s * 1000,
        iperiod=round(options.gop_s * options.fps),
        framerate=Fraction(options.fps).limit_denominator(1001),
        repeat=True,
    )
    encoder.threads = 1
    encoder.drop_final_frames = True
    return encoder


def main() -> None:
    """Run the camera, and print the measurement."""
    variant, plan = sys.argv[1], msgspec.json.decode(sys.argv[2], type=MeasurementPlan)
    options, counts, selector = plan.options, MediaCounts(), FrameSelector(plan.frames_fps)
    number, _ = picamera2_setup.find_camera(picamera2, options, variant)
    camera = picamera2_setup.open_camera(picamera2, number, variant)
    picamera2_setup.configure(camera, options, variant, lores=True)
    step_us = round(1e6 / options.fps)
    camera.set_controls({"FrameDurationLimits": (step_us, step_us)})

    def copy_frame(request: Any) -> None:
        if selector.select(request.get_metadata()["SensorTimestamp"]):
            with picamera2.MappedArray(request, "lores", reshape=False, write=False) as mapped:
                np.array(mapped.array)
            counts.frames += 1

    def count_packet(*_: object) -> None:
        counts.packets += 1

    if variant == "stock":
        camera.start_encoder(stock_encoder(options), CountingOutput(counts))
    elif variant == "ours":
        camera.start_encoder(*encoders.open_encoder("libav", options, options.fps, count_packet))
    if variant != "pipeline":
        camera.pre_callback = copy_frame
    camera.start()
    time.sleep(plan.settled_s)
    start_s, cpu_before_s, packets, frames = (
        time.monotonic(),
        _cpu_s(),
        counts.packets,
        counts.frames,
    )
    time.sleep(plan.watched_s)
    cost = CsiCost(
        cpu_s=_cpu_s() - cpu_before_s,
        measured_s=time.monotonic() - start_s,
        packets=counts.packets - packets,
        frames=counts.frames - frames,
    )
    sys.stdout.write("\n" + msgspec.json.encode(cost).decode() + "\n")
    sys.stdout.flush()
    camera.stop()


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
