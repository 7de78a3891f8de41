"""The demo's pan-tilt head: simulated mechanics at the far end of a serial line."""

from collections.abc import Callable
from pathlib import Path

from drivers.visca_options import Options
from simulation.heads.head_simulator import HeadMechanics, HeadSimulator
from simulation.heads.pty_serial_line import PtySerialLine
from simulation.heads.visca_device import ViscaCameraChain


class SimulatedHead:
    """A head built from the driver's `options`; their port is a link to a pseudo-terminal."""

    def __init__(self, options: Options, clock_ns: Callable[[], int]) -> None:
        specs = options.specs
        mechanics = HeadMechanics(
            pan_deg=specs.pan_deg,
            tilt_deg=specs.tilt_deg,
            pan_max_deg_s=specs.pan_speeds_deg_s[-1],
            tilt_max_deg_s=specs.tilt_speeds_deg_s[-1],
        )
        self.motion = HeadSimulator(mechanics, clock_ns())
        """The true pose, which the head reports only when it is asked."""
        self._line = PtySerialLine(
            Path(options.port),
            [ViscaCameraChain([self.motion], specs)],
            clock_ns,
            baud=options.baud,
        )

    def close(self) -> None:
        """Close the line and remove the link."""
        self._line.close()
