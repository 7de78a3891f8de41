"""The last page of the demo with a head: what happened when, what was written, what to try next."""

import shlex
from collections.abc import Iterator

import msgspec
from rich.console import Console
from rich.text import Text

from agent.base.health_model import Fault, FootageHealth
from centre.demo.files import DemoFiles
from centre.demo.ptz_log import Line, Milestones
from centre.demo.screen import clock_text, megabytes
from centre.demo.stats import View
from centre.demo.summary import FOOTAGE, LOG, MESSAGES, plain_table, print_written

_STOPS_TOLD = 12


class PtzSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run. `waiting` messages were not acknowledged, `stopped` is whether a signal
    ended it.
    """

    milestones: Milestones
    lasted_s: float
    view: View
    footage: FootageHealth | None
    faults: tuple[Fault, ...]
    waiting: int
    stopped: bool
    files: DemoFiles


def tell_ptz(summary: PtzSummary, console: Console, program: str) -> None:
    """Print it. `program` is how `vigie` is called here."""
    view = summary.view
    ended = "stopped by you" if summary.stopped else "played"
    console.print(f"\n[bold]A head on a pole[/], {summary.lasted_s:.0f} s {ended}", highlight=False)
    console.print(plain_table(_rows(summary)))
    files = summary.files
    print_written(
        console,
        (
            (files.panorama, "the look all around, joined of the pictures of the sweep"),
            (files.snapshots, f"{view.snapshots} pictures, as the centre got them"),
            (files.messages, MESSAGES),
            (files.footage, FOOTAGE),
            (files.config, "what a technician would write for this box, head and tour included"),
            (files.log, LOG),
        ),
    )
    console.print("\nTry next:", highlight=False)
    config = shlex.quote(str(files.config))
    said = (
        f"  {program} demo --ptz, and while its tour runs, in another terminal:\n"
        f"  {program} ptz --config {config} move left"
    )
    console.print(Text(said), soft_wrap=True)


def _rows(summary: PtzSummary) -> Iterator[tuple[str, str]]:
    told, view = summary.milestones, summary.view
    yield "Presets", ", ".join(told.presets) or "none were stored"
    stops = [f"{clock_text(t_s)} {name}" for t_s, name in told.stops[:_STOPS_TOLD]]
    yield "Tour stops", ", ".join(stops) or "none were reached"
    yield "Taken over", _when(told.taken)
    yield "Lease over", _when(told.run_out)
    yield "Tour resumed", _when(told.resumed)
    yield "Commands", f"{told.done} done, {len(told.refused)} refused, of {told.asked}"
    for line in told.refused:
        yield "", f"{clock_text(line.t_s)} {line.text.strip()}"
    yield "In sight", f"{view.most_at_once} road users at once, at the most"
    yield "Events", f"{told.events}, by the scene of the preset where the head rested"
    waiting = f", {summary.waiting} not acknowledged" if summary.waiting else ", all acknowledged"
    yield "Messages", f"{view.messages} delivered to the centre over MQTT{waiting}"
    if summary.footage is not None:
        yield "Footage", megabytes(summary.footage.bytes)
    faults = "; ".join(f"{fault.code} {fault.title}" for fault in summary.faults)
    yield "Faults", faults or "none"


def _when(line: Line | None) -> str:
    return (
        "it did not come to that" if line is None else f"{clock_text(line.t_s)} {line.text.strip()}"
    )
