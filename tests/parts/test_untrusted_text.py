"""Texts from other sources (a box, a file's name, the wire) are shown unchanged: brackets
are no markup, `:cd:` in an address is no picture, and nothing moves the terminal's cursor.
"""

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from agent.cli import probe_tables
from agent.diagnostics.probe.results import FoundOnvif, ProbeResult, ProbeSection
from centre.demo.demo import open_display
from centre.demo.files import DemoFiles
from centre.demo.ptz_log import PtzLog
from centre.demo.screen import ScreenContent, render_screen, status_table
from centre.demo.stats import DemoStats, LogLine
from centre.demo.summary import (
    DemoSummary,
    PtzDemoResult,
    VideoDemoResult,
    print_summary,
    program_name,
)
from centre.demo.video_scenario import video_screen
from centre.demo.video_source import DemoVideo

WRITTEN = ["Avenue [north]", "Depot [/b2]", "fe80:ab:cd:1", "[bold]", "\\[x]"]
"""Names that a person or a machine may write. Rich takes some of it for markup, which is left out or
raises an error, and some for emoji.
"""


def paper(columns: int = 200) -> Console:
    return Console(file=io.StringIO(), width=columns)


def read(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def shown(what: RenderableType) -> str:
    console = paper()
    console.print(what)
    return read(console)


@pytest.mark.parametrize("words", WRITTEN)
def test_a_devices_own_description_is_shown_unchanged(words: str) -> None:
    console = paper()
    found = FoundOnvif(url="http://[fe80::ab:cd:1]", name=words, hardware=words)
    probe_tables.print_results(
        ProbeResult(board=words, onvif=ProbeSection(found=(found,))), console
    )
    assert f"board: {words}" in read(console)
    assert read(console).count(words) == 3
    assert "http://[fe80::ab:cd:1]" in read(console)


def summary_of(result: VideoDemoResult | PtzDemoResult, title: str, out: Path) -> DemoSummary:
    return DemoSummary(
        title=title,
        duration_s=1.0,
        result=result,
        stats=DemoStats().view(),
        footage=None,
        faults=(),
        unacked_messages=0,
        interrupted=False,
        files=DemoFiles(out),
    )


@pytest.mark.parametrize("name", [f"{words.replace('/', '')}.mp4" for words in WRITTEN])
def test_the_demo_shows_a_videos_name_unchanged_and_a_command_that_can_be_typed(
    name: str, tmp_path: Path
) -> None:
    console = paper(1000)
    out = tmp_path / "out [x]"
    video = DemoVideo(
        title=name, driver="replay", options={}, scene=out, duration_s=1.0, path=Path(name)
    )
    problem = f"annotated video {name}: no"
    result = VideoDemoResult(
        video=video,
        export_check=None,
        public_key="KEY",
        skipped_frames=0,
        video_error=problem,
        command="none",
    )
    print_summary(summary_of(result, name, out), console, "vigie")
    message = read(console)
    assert f"\n{name}, 0 s played" in message
    assert f"Annotation  FAILED: annotated video {name}: no" in message
    (command,) = (line for line in message.splitlines() if line.startswith("  vigie replay"))
    assert shlex.split(command)[:5] == ["vigie", "replay", name, "--scene", f"{out}/scene.toml"]


def test_the_demo_of_a_head_names_a_configuration_that_can_be_typed(tmp_path: Path) -> None:
    console = paper(1000)
    summary = summary_of(
        PtzDemoResult(milestones=PtzLog().milestones), "pan-tilt head", tmp_path / "out [x]"
    )
    summary.files.config.touch()
    print_summary(summary, console, "vigie")
    message = read(console)
    (command,) = (line for line in message.splitlines() if line.startswith("  vigie ptz"))
    config = summary.files.config
    assert shlex.split(command) == ["vigie", "ptz", "--config", str(config), "move", "left"]
    assert f"  {config} " in message


def test_a_program_in_a_folder_with_a_space_can_be_typed(tmp_path: Path) -> None:
    program = tmp_path / "my code" / "bin" / "vigie"
    assert shlex.split(program_name(str(program), tmp_path)) == ["my code/bin/vigie"]
    assert shlex.split(program_name(str(program), tmp_path / "else")) == [str(program)]
    assert program_name(str(program), tmp_path / "my code") == "bin/vigie"


@pytest.mark.parametrize("title", WRITTEN)
def test_the_screen_of_the_demo_has_the_videos_title(title: str) -> None:
    moment = video_screen(DemoStats().view(), title, 80, "mqtt://127.0.0.1:1")
    assert f"Vigie demo: {title}, 0:00 of 1:20" in shown(render_screen(moment, 80, 40))


@pytest.mark.parametrize("message", WRITTEN)
def test_without_a_screen_the_demo_prints_its_log_lines_unchanged(message: str) -> None:
    console = paper()
    moment = ScreenContent(
        t_s=1.0,
        title="",
        stats=DemoStats().view(),
        status=status_table(),
        status_line="",
        log_title="",
        log=(LogLine(t_s=1.0, kind="line", text=message),),
        log_total=1,
    )
    with open_display(console) as show:
        show(moment)
        show(moment)
    assert read(console) == f"    1.0 s  {message}\n"
