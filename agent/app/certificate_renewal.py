"""Renewal of the box's certificate: its stage and its command, and the pairs to connect with.

The modules of the renewal are imported only on a box with `[renewal]`.
"""

import random
from collections.abc import Callable
from pathlib import Path

from agent.app.renew_command import RenewCommandHandler
from agent.base.clock import Clock
from agent.config.configuration import Config
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.renewal.renewed import RequestRenewal
from agent.runtime.stage import Stage


class CertificateRenewal:
    """`record_action` takes a requester and an action for the custody log."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        faults: FaultRegistry,
        rng: random.Random,
        record_action: Callable[[str, str], None],
    ) -> None:
        self.stages: tuple[Stage, ...] = ()
        self._set_session: Callable[[MqttSession], None] = lambda _: None
        request: RequestRenewal | None = None
        if config.renewal is not None:
            from agent.reporting.renewal.credentials import BoxCredentials  # noqa: PLC0415 - see the module's docstring
            from agent.reporting.renewal.renewal_stage import RenewalStage  # noqa: PLC0415

            credentials = BoxCredentials(config.broker, Path(config.box.state), config.box.id)
            stage = RenewalStage(config.renewal, credentials, clock, faults, rng, record_action)
            self.stages = (stage,)
            self._set_session = stage.set_session
            request = stage.request
        self.handler = RenewCommandHandler(request)

    def set_session(self, session: MqttSession) -> None:
        """Have a session connect with the renewed pairs. Before it starts."""
        self._set_session(session)
