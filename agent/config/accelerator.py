"""`[camera.detect.accelerator]`: an accelerator that detects on a camera."""

from typing import Annotated

import msgspec

from agent.base.sha256 import Sha256
from agent.config.names import Name


class AcceleratorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model by its card, and the hash of its file, which `vigie probe` prints. `file` is the file's path if it is not
    where upstream's package installs it.
    """

    model: Name
    sha256: Sha256
    file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
