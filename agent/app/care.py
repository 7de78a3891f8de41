"""Care of the box by the centre: restart, reboot, update, log, support bundle, declaration, and the certificate."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from agent.app.box_context import BoxContext
from agent.app.clips import Clips
from agent.app.declare_command import DeclareCommandHandler
from agent.app.feature import Feature
from agent.app.foundation import Uplink
from agent.app.publisher import Publisher
from agent.app.renew_command import RenewCommandHandler
from agent.base import slot_state
from agent.commands.pending_commands import PendingCommandStore, ResumeCommand
from agent.config.configuration import Config
from agent.diagnostics.agent_log.journal import read_log
from agent.diagnostics.agent_log.log_command import LogCommandHandler
from agent.diagnostics.selftest.selftest_service import SelfTestService
from agent.diagnostics.support_bundle.builder import build_redactor, make_bundle
from agent.diagnostics.support_bundle.bundle_command import BundleCommandHandler
from agent.health.health_file import get_runtime_dir
from agent.health.reboot_command import RebootCommandHandler
from agent.health.restart_command import FindObstacle, RestartCommandHandler
from agent.health.update_fault import SLOT_STATE_DIR
from agent.reporting.declaration.data import DeclarationData
from agent.reporting.mqtt.mqtt_stage import ClientPairs
from agent.runtime.supervisor import Order
from agent.update.update_command import UpdateCommandHandler


def make_restarts(
    box: BoxContext,
    publisher: Publisher,
    find_obstacle: FindObstacle,
    stop_agent: Callable[[], None] | None,
) -> Feature:
    """Return the commands `restart`, `reboot` and `update`, and the stage that follows an update.

    `find_obstacle` says why the box must not be disturbed now. `stop_agent` begins the agent's stop in order; None if
    nothing would start it again.
    """
    record_action = publisher.record_service_action
    pending = PendingCommandStore(box.state_dir)
    update = UpdateCommandHandler(
        box.machine_root,
        box.clock.boottime_ns,
        box.boot,
        pending,
        record_action,
        [find_obstacle],
    )
    restart = RestartCommandHandler(pending, box.boot, record_action, stop_agent, [find_obstacle])
    reboot = RebootCommandHandler(
        pending,
        box.boot,
        get_runtime_dir(box.state_dir),
        record_action,
        (find_obstacle, partial(_find_trial, box.machine_root), update.find_obstacle),
    )

    def resume(resume_command: ResumeCommand) -> None:
        for handler in (restart, reboot, update):
            handler.resume(resume_command)

    return Feature(stages={Order.CARE: [update]}, handlers=(restart, reboot, update), resume=resume)


def make_selftest(box: BoxContext, uplink: Uplink) -> Feature:
    """Return the command `selftest`, and raise the fault of one that has failed earlier."""
    service = SelfTestService(
        box.state_dir,
        uplink.outbox,
        uplink.publisher.publish_event,
        box.new_id,
        box.clock,
        box.faults,
    )
    return Feature(handlers=(service.handler,))


def make_reports(
    config: Config,
    config_path: Path | None,
    box: BoxContext,
    uplink: Uplink,
    clips: Clips,
    build_declaration: Callable[[], DeclarationData],
) -> Feature:
    """Return the command `declare`, and `log` and `bundle`, which leave out the secrets of the file `config_path`."""
    declare = DeclareCommandHandler(build_declaration, uplink.publisher.publish_declaration)
    if config_path is None:
        return Feature(handlers=(declare,))
    record_action = uplink.publisher.record_service_action
    log = LogCommandHandler(
        read_log, partial(build_redactor, config_path, box.state_dir), record_action
    )
    bundle = BundleCommandHandler(
        config.link,
        clips.queue,
        clips.replies,
        partial(make_bundle, config_path, clock=box.clock, default_state_dir=box.state_dir),
        box.clock,
        record_action,
    )
    return Feature(stages={Order.CARE: [log.stage, bundle.stage]}, handlers=(declare, log, bundle))


def make_renewal(
    config: Config, box: BoxContext, uplink: Uplink
) -> tuple[Feature, ClientPairs | None]:
    """Return the command `renew` and the stage of the certificate's renewal, and the pairs to connect with, None for that of
    the configuration.

    The modules of the renewal are imported only on a box with `[renewal]`.
    """
    if config.renewal is None:
        return Feature(handlers=(RenewCommandHandler(None),)), None
    from agent.reporting.renewal.credentials import BoxCredentials  # noqa: PLC0415 - see the docstring
    from agent.reporting.renewal.renewal_stage import RenewalStage  # noqa: PLC0415 - see the docstring

    stage = RenewalStage(
        config.renewal,
        BoxCredentials(config.broker, box.state_dir, box.id),
        box.clock,
        box.faults,
        box.rng,
        uplink.publisher.record_service_action,
        uplink.session.reconnect,
    )
    feature = Feature(stages={Order.CARE: [stage]}, handlers=(RenewCommandHandler(stage.request),))
    return feature, stage.pairs


def _find_trial(machine_root: Path) -> str | None:
    if slot_state.read(machine_root / SLOT_STATE_DIR).is_on_trial:
        return "the system is on trial: a reboot before it is found good would give it up"
    return None
