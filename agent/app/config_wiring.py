"""The stage for the centre's configuration, with the parts of the agent that it acts on."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from agent.app.actuators import Actuators
from agent.app.box_services import BoxServices
from agent.app.camera_pipeline import CameraPipeline
from agent.app.config_actions import ConfigActions
from agent.app.config_stage import ConfigStage
from agent.app.desired_message import ReceivedConfig, read_plain, read_signed
from agent.app.model_fetch import FetchModels
from agent.app.scene_request import SceneDone, SceneRequest
from agent.app.start_config import StartConfig
from agent.base.clock import boot_id
from agent.health import health_file
from agent.health.box_check import BoxSample, take_sample
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import ServiceAction
from agent.reporting import topics
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.runtime.control_socket import ControlRequest
from agent.runtime.link_budget import LinkBudget


class ConfigSource(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration file, what the agent has started with, and how models of a version are fetched within the link's
    budget.
    """

    path: Path
    start: StartConfig
    make_fetch_models: Callable[[LinkBudget], FetchModels]


def make_config_stage(
    source: ConfigSource | None,
    services: BoxServices,
    pipelines: Sequence[CameraPipeline],
    actuators: Actuators,
    receipt_queue: ReceiptQueue,
    keep: Callable[[], None],
    report: Callable[[], None],
    stop_agent: Callable[[], None] | None,
) -> ConfigStage | None:
    """Return the stage, or None without a source.

    `keep` is called when a version is kept. `report` publishes what is in force.
    `stop_agent` has the agent stopped, and started again by its service manager, if it has one.
    """
    if source is None:
        return None
    clock = services.clock
    runtime_dir = health_file.get_runtime_dir(services.state_dir)
    names = [pipeline.name for pipeline in pipelines]
    sources = {one.config.name: one for one in source.start.sources}

    def read(payload: bytes, is_known: bool) -> ReceivedConfig:  # noqa: FBT001 - as the stage calls it
        if services.authority is None:
            return read_plain(payload)
        return read_signed(payload, services.authority, is_known=is_known)

    def replace_scenes(new: StartConfig) -> None:
        new_sources = {one.config.name: one for one in new.sources}
        for pipeline in pipelines:
            old_one, new_one = sources[pipeline.name], new_sources[pipeline.name]
            if (old_one.scene, old_one.scenes) != (new_one.scene, new_one.scenes):
                pipeline.replace_scene(new_one)
                actuators.on_scenes_replaced(pipeline)
                sources[pipeline.name] = new_one

    def sample() -> BoxSample:
        return take_sample(runtime_dir, services.footage_dir, names, clock.boottime_ns())

    def record(by: str, action: str) -> None:
        receipt_queue.enqueue(ServiceAction(by=by, action=action), clock.boottime_ns())

    actions = ConfigActions(
        read_message=read,
        replace_scenes=replace_scenes,
        restart=stop_agent,
        keep=keep,
        take_sample=sample,
        stored_presets=actuators.stored_presets,
        preview_eviction=services.retention.preview,
        record=record,
        report=report,
        fetch_models=source.make_fetch_models(services.link_budget),
    )
    stage = ConfigStage(source.path, source.start, clock, boot_id(), actions)
    actuators.control_socket.add_method(SceneRequest, partial(_handle_scene, stage))
    return stage


def _handle_scene(stage: ConfigStage, scene: SceneRequest, request: ControlRequest) -> None:
    def answer(outcome: SceneDone | str) -> None:
        if isinstance(outcome, SceneDone):
            request.reply(outcome)
        else:
            request.refuse("failed", outcome)

    stage.submit_scene(scene, answer)


def config_topics(
    box: str, stage: ConfigStage | None
) -> Mapping[str, Callable[[ReceivedPublish], None]]:
    """Return the handler of `down/config`, if there is a stage for it."""
    if stage is None:
        return {}

    def take(received: ReceivedPublish) -> None:
        stage.submit(received.payload, is_retained=received.retained)

    return {topics.down_topic(box, "config"): take}
