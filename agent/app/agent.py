"""The agent: the composition root of a box, and its start and stop.

`Agent.__init__` builds the foundation, then the features that bring commands, then the parts that serve them. Each states
in an `agent.app.feature.Feature` what it adds.
"""

import random
import time
from functools import partial
from pathlib import Path

from agent.app.actuators import guard_stages, make_actuators, serve_day_night
from agent.app.birth import build_birth, build_public_declaration, build_started_receipt
from agent.app.box_context import make_context
from agent.app.cameras import make_camera_feature, make_pipelines
from agent.app.care import make_renewal, make_reports, make_restarts, make_selftest
from agent.app.clips import Clips, make_encrypted_clips
from agent.app.commands import make_dispatcher, serve_local_commands
from agent.app.configuration import (
    make_config_actions,
    make_config_feature,
    make_config_stage,
    make_rehearsals,
)
from agent.app.feature import Feature, collect_stages
from agent.app.footage import make_footage_commands
from agent.app.foundation import make_head_publisher, open_foundation
from agent.app.health import (
    Health,
    HealthSources,
    cameras_needing_restart,
    open_stuck_cameras,
)
from agent.app.incidents import make_incident_stage
from agent.app.live import LivePictures
from agent.app.mqtt import make_mqtt_stages
from agent.app.open_authority import authority_health, make_revocations
from agent.base.clock import Clock
from agent.config_change.start_config import StartConfig
from agent.config_change.state_folder import set_damaged_aside
from agent.health.vitals.procfs import DEFAULT_ROOT
from agent.incident.record import IncidentStore
from agent.runtime.control_socket import ControlSocket
from agent.runtime.sd_notify import Notifier
from agent.runtime.stop_signals import request_stop
from agent.runtime.supervisor import STOP_DEADLINE_S, Order, Supervisor


class Agent:
    """The whole agent of one box."""

    def __init__(
        self,
        start: StartConfig,
        clock: Clock,
        rng: random.Random,
        *,
        notifier: Notifier,
        machine_root: Path = DEFAULT_ROOT,
        config_path: Path | None = None,
    ) -> None:
        """Build all parts. No thread starts before `start`.

        `machine_root` is the folder that contains `proc` and `sys`. The service manager of the `notifier`, if there is one, starts
        an agent again that has stopped for another configuration or by command. With the `config_path` of its own file it takes the centre's configuration.
        Raises: UserError if the state folder cannot be written or is in use by another agent, or if a
        certificate cannot be read.
        """
        self._start = start
        config, specs = start.config, start.specs
        set_damaged_aside(Path(config.box.state))
        box = self._box = make_context(config.box, clock, rng, machine_root)
        archive, uplink = self._archive, self._uplink = open_foundation(start, box)
        publisher, session = uplink.publisher, uplink.session
        self.faults, self.outbox = box.faults, uplink.outbox
        control_socket = self._control_socket = ControlSocket(box.state_dir, clock.boottime_ns)
        pipelines = self.pipelines = make_pipelines(start, box, archive, publisher)
        actuators = self.actuators = make_actuators(specs, box, pipelines, publisher)
        clips = Clips(config, box, uplink.budget, archive.policies, publisher, session.health)
        rehearsals = make_rehearsals(config, box, uplink)
        live = LivePictures(config.link, box, uplink, pipelines, control_socket)
        incidents = IncidentStore(box.state_dir)
        read_declaration = partial(build_public_declaration, config, archive, pipelines)
        renewal, client_pairs = make_renewal(config, box, uplink)

        with_commands = (
            *(make_camera_feature(pipeline) for pipeline in pipelines),
            *actuators.features,
            make_footage_commands(box, archive, config.hold.command_days, clips, pipelines),
            clips.feature,
            Feature(stages={Order.REHEARSAL: [rehearsals]}, set_level=rehearsals.set_level),
            live.feature,
            make_selftest(box, uplink),
            make_restarts(
                box,
                publisher,
                incidents.find_obstacle,
                request_stop if notifier.has_manager else None,
            ),
            make_reports(config, config_path, box, uplink, clips, read_declaration),
            renewal,
        )
        dispatcher = make_dispatcher(config.control, box, uplink, with_commands)
        serve_local_commands(box, dispatcher, control_socket)
        serve_day_night(box, pipelines, actuators, control_socket)
        guarded, self.guard = guard_stages(specs, actuators, (control_socket, *dispatcher.stages))
        incident_stage = make_incident_stage(
            config, box, incidents, archive, uplink, pipelines, actuators, dispatcher
        )
        self._head_publisher = make_head_publisher(box, archive, publisher)
        stuck_cameras = open_stuck_cameras(box)
        self.supervisor = Supervisor(
            notifier,
            clock.boottime_ns,
            rng,
            stuck_devices=partial(cameras_needing_restart, pipelines, stuck_cameras),
        )
        self.health = Health(
            box,
            uplink,
            pipelines,
            HealthSources(
                stages=self.supervisor.health,
                faults=box.faults.active,
                outbox=session.health,
                round_trip_ms=session.round_trip_ms,
                commands=dispatcher.health,
                control=partial(authority_health, uplink.authority),
                heads=actuators.head_health,
                pins=actuators.pin_health,
                live=live.health,
            ),
            stuck_cameras,
            [feature.set_level for feature in with_commands if feature.set_level is not None],
            config,
        )
        config_actions = make_config_actions(
            start,
            box,
            archive,
            uplink,
            pipelines,
            actuators,
            self.health.monitor.live_health,
            starts_again=notifier.has_manager,
        )
        config_stage = self._config_stage = make_config_stage(
            config_path, start, box, config_actions, rehearsals, control_socket
        )
        features = (
            *with_commands,
            guarded,
            make_encrypted_clips(config.record, box, pipelines, publisher, control_socket),
            Feature(stages={Order.RETENTION: [archive.retention]}),
            Feature(stages={Order.INCIDENTS: [incident_stage]}),
            make_config_feature(box, config_stage),
            self.health.feature,
            Feature(stages={Order.CUSTODY: [self._head_publisher]}),
            make_revocations(uplink.authority),
        )
        self.supervisor.add(collect_stages(features))
        self.supervisor.add(
            make_mqtt_stages(
                config.broker,
                box,
                uplink,
                features,
                partial(
                    build_birth, config, archive, pipelines, actuators, config_stage, rehearsals
                ),
                dispatcher.submit,
                incident_stage.receive,
                client_pairs,
            )
        )

    def start(self) -> None:
        """Write the receipt of the start, start every thread, and notify systemd."""
        started = build_started_receipt(self._start.config, self._archive, self._config_stage)
        self._archive.receipts.enqueue(started, self._box.clock.boottime_ns())
        self._head_publisher.flush()
        if (restart := self.health.report_restart()) is not None:
            self._uplink.publisher.publish_restart(restart)
        if self.guard is not None:
            self.guard.start_process()
        # A program that waits for READY finds the agent.
        self._control_socket.open()
        self.supervisor.start()

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """Stop all stages in order. Return False if a thread still runs after the deadline.

        The process must end then: the guard stops what still moves, and needs its devices free.
        """
        ended = self.supervisor.stop(deadline_s)
        if self.guard is not None:
            self.guard.hand_over()
        if ended:
            self.outbox.close()
        return ended

    def wait_until_ended(self, timeout_s: float) -> bool:
        """Wait until every camera has played to its end. Return False after `timeout_s` seconds."""
        deadline_s = time.monotonic() + timeout_s
        return all(
            pipeline.ended.wait(max(0.0, deadline_s - time.monotonic()))
            for pipeline in self.pipelines
        )
