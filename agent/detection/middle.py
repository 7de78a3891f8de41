"""The median, without what numpy's own brings in: masked arrays, 2 MB for good at the first call."""

from typing import Any

import numpy as np
import numpy.typing as npt


def median(values: npt.NDArray[Any]) -> Any:
    """Along the first axis. `values` holds at least one, and none that is no number."""
    ordered = np.sort(values, axis=0)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2
