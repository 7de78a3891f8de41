"""The declaration, the configuration in force and its content: retained, sent after each birth, and when they have changed."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from agent.reporting import topics
from agent.reporting.declaration.data import DeclarationData
from agent.reporting.mqtt.message_forms import retained_forms
from agent.reporting.mqtt.publications import Publications
from agent.reporting.mqtt.send_window import SendWindow
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.payloads import ReportedConfig, ReportedContent

Report: TypeAlias = DeclarationData | ReportedConfig | ReportedContent


class RetainedReports:
    """Used by the connection's thread, except `request`. `read` returns the present reports."""

    def __init__(
        self,
        outbox: Outbox,
        publications: Publications,
        read: Callable[[], Sequence[Report]],
    ) -> None:
        self._outbox = outbox
        self._publications = publications
        self._read = read
        self._is_requested = threading.Event()
        self._is_all_requested = threading.Event()
        self._sent: dict[type, Report] = {}
        self._unsent: deque[Report] = deque()

    def request(self, *, changed_only: bool = False) -> None:
        """Send the reports again, all or those that this connection has not sent as they are now. Thread-safe."""
        if not changed_only:
            self._is_all_requested.set()
        self._is_requested.set()

    def send_due(self, window: SendWindow) -> None:
        """Send the requested reports, as far as the broker takes messages. Raises: MqttConnectionError."""
        if self._is_requested.is_set():
            self._is_requested.clear()
            if self._is_all_requested.is_set():
                self._is_all_requested.clear()
                self._sent.clear()
            self._unsent = deque(
                data for data in self._read() if data != self._sent.get(type(data))
            )
        while self._unsent and window.send_quota() > 0:
            data = self._unsent.popleft()
            envelope = self._outbox.envelope_now()
            if isinstance(data, DeclarationData):
                subtopic, payload = "declaration", topics.encode_declaration(envelope, data)
            elif isinstance(data, ReportedContent):
                subtopic = "config/content"
                payload = topics.encode_config_content(envelope, data)
            else:
                subtopic, payload = "config", topics.encode_config(envelope, data)
            forms = retained_forms(self._outbox.box, subtopic, payload)
            self._publications.send(window, forms, subtopic)
            self._sent[type(data)] = data
