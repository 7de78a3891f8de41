"""All acts by name. The act server loads them all; a command of the console loads its own alone, since OpenCV is large."""

from collections.abc import Mapping
from typing import Any

from agent.console.acts import (
    box,
    cameras,
    commissioning,
    devices,
    faults,
    heads,
    link,
    scenes,
    status,
    trial,
    updates,
)
from agent.console.acts.act import Act

ACTS: Mapping[str, Act[Any, Any]] = {
    declared.name: declared
    for module in (
        *(status, faults, box, link, devices, cameras, heads),
        *(scenes, trial, commissioning, updates),
    )
    for declared in vars(module).values()
    if isinstance(declared, Act)
}
