"""Where a configuration names a file, and whether that will lie beside it. Pure."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec

from agent.config.configuration import Config
from agent.provisioning.embedded_files import NAME, EmbeddedFiles

HOME = PurePosixPath("/etc/vigie")
_SECRET = re.compile(r"pass|secret|token|credential|private|(^|_)key(_|$)")

Need = Literal["given", "made", "may_lack"]
"""given: it has to be in the settings file; made: the box makes it where it is not; may_lack: the box
works without it."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A key of the configuration whose value names a file."""

    key: str
    value: str
    secret: bool = False
    need: Need = "given"
    whole_path: Literal["no", "here", "anywhere"] = "here"
    """Whether it may be a whole path: to where the configuration will lie, or to a file of the system."""

    @property
    def name(self) -> str | None:
        """The file's name beside the configuration; None where it lies elsewhere."""
        return name_of(self.value)


def name_of(value: str) -> str | None:
    """The name of a file beside the configuration; None where a path leads elsewhere."""
    path = PurePosixPath(value)
    if path.is_absolute():
        path = path.relative_to(HOME) if path.is_relative_to(HOME) else PurePosixPath("a/b")
    return str(path) if len(path.parts) == 1 and NAME.fullmatch(str(path)) else None


def references(config: Config) -> Iterator[Reference]:
    """All of them. `config` is as it was written: its paths not yet anchored."""
    broker = config.broker
    if broker.ca is not None:
        yield Reference(key="broker.ca", value=broker.ca)
    if broker.certificate is not None and broker.key is not None:
        yield Reference(key="broker.certificate", value=broker.certificate, need="made")
        yield Reference(key="broker.key", value=broker.key, secret=True, need="made")
    if broker.password_file is not None:
        yield Reference(key="broker.password_file", value=broker.password_file, secret=True)
    if config.update is not None and config.update.ca is not None:
        yield Reference(key="update.ca", value=config.update.ca)
    yield Reference(
        key="console.secret_file", value=config.console.secret_file, secret=True, need="may_lack"
    )
    for index, camera in enumerate(config.camera):
        at = f"camera[{index}]"
        yield from _options(camera.options, f"{at}.options")
        yield from _options(camera.detect_options or {}, f"{at}.detect_options")
        if camera.detect.scene is not None:
            yield Reference(key=f"{at}.detect.scene", value=camera.detect.scene, whole_path="no")
        for preset, scene in camera.detect.scenes.items():
            yield Reference(key=f"{at}.detect.scenes.{preset}", value=scene, whole_path="no")
        if camera.onvif is not None and camera.onvif.password_file is not None:
            yield Reference(
                key=f"{at}.onvif.password_file", value=camera.onvif.password_file, secret=True
            )
    for index, head in enumerate(config.head):
        yield from _options(head.options, f"head[{index}].options")


def _options(options: Mapping[str, Any], under: str) -> Iterator[Reference]:
    """Of a driver's options those that `agent.config.configuration` takes for paths."""
    for key, value in options.items():
        if isinstance(value, str) and (key == "path" or key.endswith("_file")):
            yield Reference(
                key=f"{under}.{key}",
                value=value,
                secret=bool(_SECRET.search(key)),
                whole_path="anywhere" if key == "path" else "here",
            )


def problems(found: Iterator[Reference], enclosed: EmbeddedFiles, where: str) -> Iterator[str]:
    """A line for each file that will not be where the configuration looks for it. Where a secret
    should lie its value is not shown: somebody may have put the secret itself there.
    """
    given = sorted({*enclosed.files, *enclosed.secrets})
    for one in found:
        at = f"{where}: {one.key}" + ("" if one.secret else f" = {one.value!r}")
        place = "[secrets]" if one.secret else "[files]"
        whole = one.value.startswith("/")
        if whole and one.name is None and one.whole_path == "anywhere":
            continue
        if one.name is None or (whole and one.whole_path == "no"):
            yield f"{at}: lies elsewhere; allowed: the name of a file in {place}, without folders"
        elif one.secret and one.name in enclosed.files:
            yield f"{at}: is in [files], from where it stays on the card; allowed: in [secrets]"
        elif one.need == "given" and one.name not in given:
            yield f"{at}: is not in {place}; there are: {', '.join(given) or 'none'}"
