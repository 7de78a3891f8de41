"""Whether a configuration file is good, as the agent itself would say."""

from pathlib import Path

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.config import configuration


def find_problem(path: Path, clock: Clock, *, deep: bool = False) -> str | None:
    """What is wrong with it; None where nothing is. `deep`: with its drivers' options, scenes and
    models.
    """
    try:
        config = configuration.load(path)
        if deep:
            # Here, because all drivers and the detector come with it.
            from agent.app.actuator_specs import load_actuator_specs  # noqa: PLC0415
            from agent.capture import camera_source  # noqa: PLC0415

            camera_source.build_sources(config, clock, str(path))
            load_actuator_specs(config, clock, str(path))
    except UserError as error:
        return str(error)
    return None
