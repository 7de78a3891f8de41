"""The demo's head: a body that moves as a real one does, at the far end of a serial line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers.simulated.motion import HeadMotion, Mechanics
from drivers.simulated.pty_head import PtyHead
from drivers.simulated.visca_device import ViscaSide
from drivers.visca_options import Options


@contextmanager
def plugged_in(options: Options, clock_ns: Callable[[], int]) -> Iterator[HeadMotion]:
    """A head that is built as the driver's `options` say, and hangs on the line that they name: the
    port is a link to a pseudo-terminal meanwhile. Its body is given, which knows the truth.
    """
    build = options.build
    mechanics = Mechanics(
        pan_deg=build.pan_deg,
        tilt_deg=build.tilt_deg,
        pan_max_deg_s=build.pan_speeds_deg_s[-1],
        tilt_max_deg_s=build.tilt_speeds_deg_s[-1],
    )
    body = HeadMotion(mechanics, clock_ns())
    line = PtyHead(Path(options.port), [ViscaSide([body], build)], clock_ns, baud=options.baud)
    try:
        yield body
    finally:
        line.close()
