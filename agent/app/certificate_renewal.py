"""Renewal of the box's certificate: its stage and its command, and the pairs to connect with.

The modules of the renewal are imported only on a box with `[renewal]`.
"""

import random
from collections.abc import Callable
from pathlib import Path

from agent.app.renew_command import RenewCommandHandler
from agent.base.clock import Clock
from agent.config.broker import BrokerConfig
from agent.config.configuration import Config
from agent.faults.registry import FaultRegistry
from agent.reporting.renewal.renewed import RequestRenewal
from agent.runtime.stage import Stage


class CertificateRenewal:
    """`read_brokers` returns `[broker]` with each usable pair of key and certificate, the first to try at first.

    `on_renewed` is called with the requester and the end of the new certificate.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        faults: FaultRegistry,
        rng: random.Random,
        on_renewed: Callable[[str, str], None],
    ) -> None:
        self.stages: tuple[Stage, ...] = ()
        self.read_brokers: Callable[[], tuple[BrokerConfig, ...]] = lambda: (config.broker,)
        request: RequestRenewal | None = None
        if config.renewal is not None:
            from agent.reporting.renewal.credentials import BoxCredentials  # noqa: PLC0415 - see the module's docstring
            from agent.reporting.renewal.renewal_stage import RenewalStage  # noqa: PLC0415

            credentials = BoxCredentials(config.broker, Path(config.box.state), config.box.id)
            stage = RenewalStage(
                config.renewal, config.broker, credentials, clock, faults, rng, on_renewed
            )
            self.stages = (stage,)
            self.read_brokers = credentials.candidates
            request = stage.request
        self.handler = RenewCommandHandler(request)
