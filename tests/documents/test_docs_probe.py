"""docs/probe.md describes `vigie probe`: each option, each state, each default, a true snippet."""

import argparse
import re
from pathlib import Path

from agent.cli import probe
from agent.diagnostics.probe.config_snippet import render_snippet
from agent.diagnostics.probe.results import ProbeResult, ProbeSection
from drivers.head_probe_codec import HeadAnswer
from drivers.head_search import FoundHead, PortSearch

PAGE = (Path(__file__).parents[2] / "docs" / "probe.md").read_text(encoding="utf-8")
PORT = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"


def options() -> set[str]:
    parser = argparse.ArgumentParser()
    probe.add_arguments(parser)
    (help_text,) = re.findall(r"usage:.*", parser.format_help(), re.DOTALL)
    return set(re.findall(r"--[a-z-]+", help_text)) - {"--help"}


def test_each_option_is_named() -> None:
    assert options() == set(re.findall(r"(?<![|-])--[a-z-]+[a-z]", PAGE))


def test_the_snippet_equals_the_generated_one() -> None:
    answer = HeadAnswer(driver="pelco_d", address=1, reports_position=True)
    head = FoundHead(port=PORT, baud=2400, answer=answer)
    line = PortSearch(port=PORT, state="free", heads=(head,))
    (shown,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert render_snippet(ProbeResult(heads=ProbeSection(found=(line,)))) == shown
