"""Check of a configuration file by the agent's own loaders."""

from pathlib import Path

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.config import configuration


def find_problem(path: Path, clock: Clock, *, deep: bool = False) -> str | None:
    """Return the first problem of a configuration file, or None.

    `deep` checks the drivers' options, the scenes and the models too.
    """
    try:
        config = configuration.load(path)
        if deep:
            # Imported here: all drivers and the detector come with it.
            from agent.app.actuator_specs import load_actuator_specs  # noqa: PLC0415
            from agent.capture import camera_source  # noqa: PLC0415

            camera_source.build_sources(config, clock, str(path))
            load_actuator_specs(config, clock, str(path))
    except UserError as error:
        return str(error)
    return None
