"""A pan-tilt head with Pelco-D over a serial line, mostly RS-485.

```toml
[[head]]
name = "mast"
driver = "pelco_d"

[head.options]
port = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"
baud = 2400
address = 1
pan_deg = { low = -175, high = 175 }
tilt_deg = { low = -90, high = 20 }
pan_max_deg_s = 40
tilt_max_deg_s = 20
zoom_ratio = 30
zoom_travel_s = 6
focus = true
presets = 32
preset_deg_s = 40
aux = { wiper = 1 }
```

With `position = "query"` the head reports its position and is sent to positions. All options:
`drivers.pelco_options.PelcoOptions`.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec

from drivers.pelco_head import PelcoHead
from drivers.pelco_options import PelcoOptions


class Options(PelcoOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a head; 2400 baud is usual."""

    baud: Annotated[int, msgspec.Meta(ge=300, le=1_000_000)] = 2400


def open_ptz(name: str, options: Options, clock_ns: Callable[[], int]) -> PelcoHead:
    """Open the head on its bus. Raises: DriverError as `SerialBuses.attach`."""
    return PelcoHead(name, options, "D", options.address, clock_ns)
