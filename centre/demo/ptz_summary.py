"""The head demo's part of the summary: milestones, commands and the panorama."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from centre.demo.files import DemoFiles
from centre.demo.ptz_log import Milestones
from centre.demo.screen import format_clock
from centre.demo.stats import LogLine, StatsView

_MAX_LISTED_STOPS = 12


class PtzDemoResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of the scenario with a head."""

    milestones: Milestones

    def played_s(self, stats: StatsView, duration_s: float) -> float:
        """Return the duration: a head moves in real time."""
        return duration_s

    def rows(self, stats: StatsView) -> Iterator[tuple[str, str]]:
        """Yield names and values for the summary."""
        milestones = self.milestones
        yield "Presets", ", ".join(milestones.stored_presets) or "none stored"
        stops = [
            f"{format_clock(t_s)} {name}" for t_s, name in milestones.tour_stops[:_MAX_LISTED_STOPS]
        ]
        yield "Tour stops", ", ".join(stops) or "none reached"
        yield "Taken over", _format_milestone(milestones.takeover)
        yield "Lease expired", _format_milestone(milestones.lease_expiry)
        yield "Tour resumed", _format_milestone(milestones.tour_resumption)
        sent, done = milestones.commands_sent, milestones.commands_done
        refused = len(milestones.refusals)
        yield (
            "Commands",
            f"{sent} sent, each signed by its operator; {done} done, {refused} refused",
        )
        for line in milestones.refusals:
            yield "", f"{format_clock(line.t_s)} {line.text.strip()}"
        yield "In sight", f"at most {stats.max_concurrent_tracks} road users at once"
        yield "Events", f"{milestones.event_count}, by the scene of the preset in view"

    def files(self, stats: StatsView, files: DemoFiles) -> Iterator[tuple[Path, str]]:
        """Yield the files of this scenario, and what is in them."""
        yield files.panorama, "the panorama, stitched from the frames of the sweep"
        yield files.snapshots, f"{stats.snapshots} snapshots"
        yield files.presets, "a picture and a scene of each preset, and the panorama: draw on them"
        yield files.config, "the configuration of this box, with head and tour"

    def next_command(self, files: DemoFiles, program: str) -> str:
        """Return the commands that draw the scenes of the presets, and that move the demo's head from another terminal."""
        config = shlex.quote(str(files.config))
        return (
            f"{program} scene edit {shlex.quote(str(files.presets))}\n"
            f"  {program} demo --ptz, and while its tour is running, in another terminal:\n"
            f"  {program} ptz --config {config} move left"
        )


def _format_milestone(line: LogLine | None) -> str:
    return "did not happen" if line is None else f"{format_clock(line.t_s)} {line.text.strip()}"
