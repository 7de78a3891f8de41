"""A pan-tilt head with Pelco-P over a serial line, mostly RS-485.

```toml
[[head]]
name = "yard"
driver = "pelco_p"

[head.options]
port = "socket://serial-server.example:4001"
baud = 4800
address = 3
address_from_zero = true
pan_deg = { low = 0, high = 355 }
tilt_deg = { low = -60, high = 30 }
pan_max_deg_s = 9
tilt_max_deg_s = 4
presets = 16
preset_deg_s = 4
reference_presets = [{ preset = 1, pan_deg = 0, tilt_deg = 0 }]
```

The address in a frame is one less than the one on the head's switches, as in Pelco's own receivers
(C466M-E: 0 to 1F for 1 to 32); with `address_from_zero = false` it is the same, as in the cameras of AVer and
Active Silicon. All other options: `drivers.pelco_options.PelcoOptions`.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec

from drivers.pelco_head import PelcoHead
from drivers.pelco_options import PelcoOptions


class Options(PelcoOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a head; 4800 baud is usual."""

    baud: Annotated[int, msgspec.Meta(ge=300, le=1_000_000)] = 4800
    address_from_zero: bool = True


def open_ptz(name: str, options: Options, clock_ns: Callable[[], int]) -> PelcoHead:
    """Open the head on its bus. Raises: DriverError as `SerialBuses.attach`."""
    address_byte = options.address - 1 if options.address_from_zero else options.address
    return PelcoHead(name, options, "P", address_byte, clock_ns)
