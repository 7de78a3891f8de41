"""The centre's configuration: its stage, with the parts of the agent that a version acts on."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from agent.app.actuators import Actuators
from agent.app.box_context import BoxContext
from agent.app.feature import Feature
from agent.app.foundation import Archive, Uplink
from agent.capture.camera_source import CameraSource
from agent.config.configuration import Config
from agent.config_change.config_stage import ConfigActions, ConfigStage
from agent.config_change.delivered_models import FetchModels
from agent.config_change.scene_request import SceneDone, SceneRequest
from agent.config_change.start_config import StartConfig
from agent.health.box_check import BoxSample, take_sample
from agent.health.health_file import LiveHealth
from agent.pipeline.camera_pipeline import CameraPipeline
from agent.rehearsal.rehearsal_stage import RehearsalSettings, RehearsalStage
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.runtime.control_socket import ControlSocket
from agent.runtime.link_budget import LinkBudget
from agent.runtime.local_server import LocalRequest
from agent.runtime.stop_signals import request_stop
from agent.runtime.supervisor import Order
from agent.update.model_fetcher import ModelFetcher


def make_config_stage(
    path: Path | None,
    start: StartConfig,
    box: BoxContext,
    actions: ConfigActions,
    rehearsals: RehearsalStage,
    control_socket: ControlSocket,
) -> ConfigStage | None:
    """Return the stage of a box whose own file is `path`, and add the control socket's requests of scenes. None without a file."""
    if path is None:
        return None
    stage = ConfigStage(path, start, box.clock, box.boot, actions, rehearsals)
    control_socket.add_method(SceneRequest, partial(_handle_scene, stage))
    return stage


def make_config_feature(box: BoxContext, stage: ConfigStage | None) -> Feature:
    """Return the stage with its topic, `down/config`."""
    if stage is None:
        return Feature()

    def take(received: ReceivedPublish) -> None:
        stage.submit(received.payload, is_retained=received.retained)

    return Feature(
        stages={Order.CONFIGURATION: [stage]},
        topics={topics.down_topic(box.id, "config"): take},
    )


def make_rehearsals(config: Config, box: BoxContext, uplink: Uplink) -> RehearsalStage:
    """Return the stage that tries versions on recorded footage."""
    return RehearsalStage(
        RehearsalSettings(state_dir=box.state_dir, box=box.id, time_zone=config.box.time_zone),
        box.clock,
        uplink.publisher.record_rehearsal,
        uplink.session.request_changed_reports,
    )


def make_config_actions(
    start: StartConfig,
    box: BoxContext,
    archive: Archive,
    uplink: Uplink,
    pipelines: Sequence[CameraPipeline],
    actuators: Actuators,
    read_health: Callable[[], LiveHealth | None],
    *,
    starts_again: bool,
) -> ConfigActions:
    """Return the parts of the agent that a version acts on.

    `read_health` returns the report of the last check. `starts_again`: a service manager starts an agent that has stopped.
    """
    clock = box.clock
    names = [pipeline.name for pipeline in pipelines]

    def sample() -> BoxSample:
        return take_sample(read_health(), box.footage_dir, names, clock.boottime_ns())

    return ConfigActions(
        authority=uplink.authority,
        receipts=archive.receipts,
        starts_again=starts_again,
        stop_agent=request_stop,
        replace_scenes=_SceneReplacer(start, pipelines, actuators).replace,
        keep=archive.end_trial,
        take_sample=sample,
        stored_presets=actuators.stored_presets,
        preview_eviction=archive.retention.preview,
        report=uplink.session.request_changed_reports,
        fetch_models=_make_fetch_models(start.config, box, uplink.budget),
    )


class _SceneReplacer:
    """Puts the scenes of another version in force. Used by the stage's thread alone."""

    def __init__(
        self, start: StartConfig, pipelines: Sequence[CameraPipeline], actuators: Actuators
    ) -> None:
        self._sources = {source.config.name: source for source in start.sources}
        self._pipelines = tuple(pipelines)
        self._actuators = actuators

    def replace(self, new: StartConfig) -> None:
        """Replace the scenes and proofs that differ. Raises: MaskError."""
        new_sources = {source.config.name: source for source in new.sources}
        for pipeline in self._pipelines:
            old_one, new_one = self._sources[pipeline.name], new_sources[pipeline.name]
            if _drawn(old_one) != _drawn(new_one):
                pipeline.replace_scene(new_one)
                self._actuators.on_scenes_replaced(pipeline)
            elif old_one.proof != new_one.proof:
                pipeline.replace_proof(new_one.proof)
            self._sources[pipeline.name] = new_one


def _drawn(source: CameraSource) -> tuple[object, ...]:
    """Return all that is drawn on the pictures of a camera."""
    return source.scene, source.scenes, source.fisheye_masks


def _make_fetch_models(config: Config, box: BoxContext, budget: LinkBudget) -> FetchModels:
    ca_file = None if config.link.ca is None else Path(config.link.ca)
    return ModelFetcher(box.state_dir, ca_file, budget, box.clock).fetch


def _handle_scene(stage: ConfigStage, scene: SceneRequest, request: LocalRequest) -> None:
    def answer(outcome: SceneDone | str) -> None:
        if isinstance(outcome, SceneDone):
            request.reply(outcome)
        else:
            request.refuse("failed", outcome)

    stage.submit_scene(scene, answer)
