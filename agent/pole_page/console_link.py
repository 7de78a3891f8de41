"""The connection of the console that has turned the page on, as the web process reports to it."""

import asyncio

import msgspec

from agent.console import page_wire
from agent.console.page_wire import PageReport, PageUsed


class ConsoleLink:
    """The console's connection: reports to it. A console that does not read loses them."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._last_used_s = float("-inf")

    def report(self, report: PageReport) -> None:
        """Send a report."""
        if self._writer.transport.get_write_buffer_size() <= page_wire.MAX_LINE_BYTES:
            self._writer.write(msgspec.json.encode(report) + b"\n")

    def report_use(self) -> None:
        """Report that a phone is active, once in a while."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._last_used_s >= page_wire.USED_INTERVAL_S:
            self._last_used_s = now_s
            self.report(PageUsed())
