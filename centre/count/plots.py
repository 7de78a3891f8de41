"""Plots of the report as SVG, if matplotlib is installed: it is an extra, because a box never has it. Pure.

An SVG has numbers and times and no words, so that it is the same in each language, and no name of the user's.
"""

import importlib
import importlib.util
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from agent.base.model import Label

HOW_TO_INSTALL = "Plots are left out: matplotlib is not installed; pip install matplotlib"
COLOURS: Mapping[Label, str] = {
    "person": "#aa3377",
    "bicycle": "#228833",
    "motorcycle": "#997700",
    "car": "#0077bb",
    "bus": "#cc3311",
    "truck": "#555555",
}
"""Each has a contrast of 4 or more against white; page/report.css has the same for the keys of the plots."""
_UNTRUSTED_COLOUR = "#ffe08a"
_WIDTH_IN, _BARS_HEIGHT_IN, _SPEEDS_HEIGHT_IN = 7.2, 1.9, 2.3
_BAR_SHARE = 0.86
"""Width of a bar; the rest is the gap to the next one."""
_MAX_TICKS = 9
_HEADROOM = 1.05
_STYLE = {
    "svg.fonttype": "none",  # text stays text, in the reader's fonts
    "svg.hashsalt": "vigie",  # ids that do not depend on the run
    "font.size": 8.0,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#5a6473",
    "xtick.color": "#14181f",
    "ytick.color": "#14181f",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}

Bars = Mapping[Label, Sequence[int]]
"""The height of each bar, by class; classes are stacked in this order."""


class IntervalTicks(msgspec.Struct, frozen=True, kw_only=True):
    """The axis of intervals: each one's time and day as text, and whether it begins when the one before ends."""

    times: tuple[str, ...]
    days: tuple[str, ...]
    is_continued: tuple[bool, ...]


def is_installed() -> bool:
    """Return whether plots can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_intervals(bars: Bars, ticks: IntervalTicks, untrusted: Sequence[bool], top: int) -> str:
    """Return bars of each interval. Counts that are too low are on yellow; `top` is the end of the axis of counts."""
    figure, axes = _open_figure(_BARS_HEIGHT_IN)
    count = len(ticks.times)
    shaded = [index for index, is_untrusted in enumerate(untrusted) if is_untrusted]
    _add_rectangles(
        axes,
        [(index, index + 1, 0.0, max(1, top) * _HEADROOM) for index in shaded],
        _UNTRUSTED_COLOUR,
        zorder=0,
    )
    _add_bars(axes, bars)
    for index in range(1, count):
        if not ticks.is_continued[index]:
            axes.axvline(index, color="#5a6473", linewidth=0.8, linestyle=(0, (2, 2)))
    shown = range(0, count, -(-count // _MAX_TICKS))
    axes.set_xticks([index + 0.5 for index in shown])
    labels, day = [], ""
    for index in shown:
        is_new = ticks.days[index] != day
        day = ticks.days[index]
        labels.append(f"{ticks.times[index]}\n{day}" if is_new else ticks.times[index])
    axes.set_xticklabels(labels)
    return _to_svg(figure, axes, count, top)


def draw_speeds(bars: Bars, bands: Sequence[int], band_km_h: int, v85_km_h: float | None) -> str:
    """Return bars of each band of speed, which is named by its lower end, and V85 as a dashed line."""
    figure, axes = _open_figure(_SPEEDS_HEIGHT_IN)
    _add_bars(axes, bars)
    if v85_km_h is not None:
        place = (v85_km_h - bands[0]) / band_km_h
        axes.axvline(place, color="#14181f", linewidth=1.2, linestyle=(0, (4, 2)))
    axes.set_xticks(range(len(bands)))
    axes.set_xticklabels([str(band) for band in bands])
    top = max(sum(heights) for heights in zip(*bars.values(), strict=True))
    return _to_svg(figure, axes, len(bands), top)


def _open_figure(height_in: float) -> tuple[Any, Any]:
    """Return a figure and its axes, without matplotlib's state of the whole process."""
    with _style():
        figure = _load("figure").Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        return figure, figure.add_subplot()


def _load(name: str) -> Any:
    return importlib.import_module(f"matplotlib.{name}")


def _style() -> Any:
    return importlib.import_module("matplotlib").rc_context(_STYLE)


def _add_bars(axes: Any, bars: Bars) -> None:
    """Add the bars of all classes, each class as one path."""
    bottoms = np.zeros(len(next(iter(bars.values()))))
    margin = (1 - _BAR_SHARE) / 2
    for label, heights in bars.items():
        rectangles = [
            (index + margin, index + 1 - margin, bottom, bottom + height)
            for index, (bottom, height) in enumerate(zip(bottoms, heights, strict=True))
            if height
        ]
        _add_rectangles(axes, rectangles, COLOURS[label], zorder=2)
        bottoms += np.asarray(heights)


def _add_rectangles(
    axes: Any, rectangles: Sequence[tuple[float, float, float, float]], colour: str, zorder: int
) -> None:
    """Add rectangles, each left, right, bottom and top, as one path."""
    if not rectangles:
        return
    corners = np.array(
        [
            [(left, bottom), (left, top), (right, top), (right, bottom)]
            for left, right, bottom, top in rectangles
        ]
    )
    path = _load("path").Path.make_compound_path_from_polys(corners)
    axes.add_patch(_load("patches").PathPatch(path, facecolor=colour, linewidth=0, zorder=zorder))


def _to_svg(figure: Any, axes: Any, count: int, top: int) -> str:
    axes.set_xlim(0, count)
    axes.set_ylim(0, max(1, top) * _HEADROOM)
    axes.yaxis.set_major_locator(_load("ticker").MaxNLocator(nbins=4, integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#d5dae1", linewidth=0.5, zorder=1)
    axes.set_axisbelow(True)
    with _style():
        text = io.StringIO()
        figure.savefig(
            text,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    return text.getvalue()
