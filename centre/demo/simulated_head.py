"""The demo's head: a body that moves as a real one does, at the far end of a serial line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers.simulated.motion import HeadMechanics, HeadSimulator
from drivers.simulated.pty_head import PtySerialLine
from drivers.simulated.visca_device import ViscaCameraChain
from drivers.visca_options import Options


@contextmanager
def attach_head(options: Options, clock_ns: Callable[[], int]) -> Iterator[HeadSimulator]:
    """A head that is built as the driver's `options` say, and hangs on the line that they name: the
    port is a link to a pseudo-terminal meanwhile. Its body is given, which knows the truth.
    """
    build = options.specs
    mechanics = HeadMechanics(
        pan_deg=build.pan_deg,
        tilt_deg=build.tilt_deg,
        pan_max_deg_s=build.pan_speeds_deg_s[-1],
        tilt_max_deg_s=build.tilt_speeds_deg_s[-1],
    )
    head_motion = HeadSimulator(mechanics, clock_ns())
    pty_head = PtySerialLine(
        Path(options.port), [ViscaCameraChain([head_motion], build)], clock_ns, baud=options.baud
    )
    try:
        yield head_motion
    finally:
        pty_head.close()
