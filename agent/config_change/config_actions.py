"""The parts of the agent that the stage of the configuration acts on, and the trial of a version."""

from collections.abc import Callable

import msgspec

from agent.config_change.desired_message import ReceivedConfig
from agent.config_change.model_fetch import FetchModels
from agent.config_change.second_signature import PreviewEviction, StoredPresets
from agent.config_change.start_config import StartConfig
from agent.health.box_check import BoxCheck, BoxSample


class ConfigActions(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's part. None of them blocks for long.

    `read_message` reads a message and checks its signature, unless the same bytes were decided about already; it raises
    UserError. `replace_scenes` puts other scenes in force, and raises MaskError. `restart` ends the agent in order; None if
    nothing would start it again. `keep` ends what counts during a trial alone. `take_sample` is the evidence of a trial.
    `stored_presets` are the box's own. `preview_eviction` returns the footage that other rules would evict now. `record` writes a
    receipt of a person's action. `report` publishes what is in force.
    """

    read_message: Callable[[bytes, bool], ReceivedConfig]
    replace_scenes: Callable[[StartConfig], None]
    restart: Callable[[], None] | None
    keep: Callable[[], None]
    take_sample: Callable[[], BoxSample]
    stored_presets: Callable[[], StoredPresets]
    preview_eviction: PreviewEviction
    record: Callable[[str, str], None]
    report: Callable[[], None]
    fetch_models: FetchModels


class ConfigTrial(msgspec.Struct, frozen=True, kw_only=True):
    """The version in force is on trial; `before` is the one that it replaced live, None after a restart.

    `technician` has put a scene on trial, and confirms it; None: the box is seen to work with the centre's version.
    """

    check: BoxCheck
    begin_ns: int
    before: StartConfig | None
    technician: str | None = None
