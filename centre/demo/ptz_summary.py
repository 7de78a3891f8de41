"""The last page of the demo with a head: what happened when, what was written, what to try next."""

import shlex
from collections.abc import Iterator

import msgspec
from rich.console import Console
from rich.text import Text

from agent.base.health_model import Fault, FootageHealth
from centre.demo.files import DemoFiles
from centre.demo.ptz_log import Milestones, PtzLogLine
from centre.demo.screen import format_clock, format_megabytes
from centre.demo.stats import StatsView
from centre.demo.summary import FOOTAGE_TEXT, LOG_TEXT, MESSAGES_TEXT, plain_table, print_files

_MAX_LISTED_STOPS = 12


class PtzSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run. `waiting` messages were not acknowledged, `stopped` is whether a signal
    ended it.
    """

    milestones: Milestones
    duration_s: float
    stats: StatsView
    footage: FootageHealth | None
    faults: tuple[Fault, ...]
    unacked_messages: int
    interrupted: bool
    files: DemoFiles


def print_ptz_summary(summary: PtzSummary, console: Console, program: str) -> None:
    """Print it. `program` is how `vigie` is called here."""
    stats = summary.stats
    ended = "stopped by you" if summary.interrupted else "played"
    console.print(
        f"\n[bold]A head on a pole[/], {summary.duration_s:.0f} s {ended}", highlight=False
    )
    console.print(plain_table(_rows(summary)))
    files = summary.files
    print_files(
        console,
        (
            (files.panorama, "the look all around, joined of the pictures of the sweep"),
            (files.snapshots, f"{stats.snapshots} pictures, as the centre got them"),
            (files.messages, MESSAGES_TEXT),
            (files.footage, FOOTAGE_TEXT),
            (files.config, "what a technician would write for this box, head and tour included"),
            (files.log, LOG_TEXT),
        ),
    )
    console.print("\nTry next:", highlight=False)
    config = shlex.quote(str(files.config))
    hint = (
        f"  {program} demo --ptz, and while its tour runs, in another terminal:\n"
        f"  {program} ptz --config {config} move left"
    )
    console.print(Text(hint), soft_wrap=True)


def _rows(summary: PtzSummary) -> Iterator[tuple[str, str]]:
    milestones, stats = summary.milestones, summary.stats
    yield "Presets", ", ".join(milestones.stored_presets) or "none were stored"
    stops = [
        f"{format_clock(t_s)} {name}" for t_s, name in milestones.tour_stops[:_MAX_LISTED_STOPS]
    ]
    yield "Tour stops", ", ".join(stops) or "none were reached"
    yield "Taken over", _format_milestone(milestones.takeover)
    yield "Lease over", _format_milestone(milestones.lease_expiry)
    yield "Tour resumed", _format_milestone(milestones.tour_resumption)
    yield (
        "Commands",
        f"{milestones.commands_done} done, {len(milestones.refusals)} refused, of {milestones.commands_sent}",
    )
    for line in milestones.refusals:
        yield "", f"{format_clock(line.t_s)} {line.text.strip()}"
    yield "In sight", f"{stats.max_concurrent_tracks} road users at once, at the most"
    yield "Events", f"{milestones.event_count}, by the scene of the preset where the head rested"
    unacked_text = (
        f", {summary.unacked_messages} not acknowledged"
        if summary.unacked_messages
        else ", all acknowledged"
    )
    yield "Messages", f"{stats.messages} delivered to the centre over MQTT{unacked_text}"
    if summary.footage is not None:
        yield "Footage", format_megabytes(summary.footage.bytes)
    faults = "; ".join(f"{fault.code} {fault.title}" for fault in summary.faults)
    yield "Faults", faults or "none"


def _format_milestone(line: PtzLogLine | None) -> str:
    return (
        "it did not come to that"
        if line is None
        else f"{format_clock(line.t_s)} {line.text.strip()}"
    )
