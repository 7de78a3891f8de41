"""Files that a configuration refers to, and whether they will be next to it. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec

from agent.config.configuration import Config
from agent.provisioning.embedded_files import NAME_PATTERN, EmbeddedFiles

CONFIG_DIR = PurePosixPath("/etc/vigie")
_SECRET_KEY_PATTERN = re.compile(r"pass|secret|token|credential|private|(^|_)key(_|$)")

Requirement = Literal["required", "generated", "optional"]
"""required: in the settings file; generated: by the box if missing; optional: the box works without it."""


class FileReference(msgspec.Struct, frozen=True, kw_only=True):
    """A key of the configuration whose value names a file."""

    key: str
    value: str
    is_secret: bool = False
    requirement: Requirement = "required"
    absolute_path: Literal["never", "config_dir", "anywhere"] = "config_dir"
    """Whether an absolute path is allowed: into the configuration folder, or to any file of the system."""

    @property
    def name(self) -> str | None:
        """The file's name next to the configuration, or None if it is elsewhere."""
        return local_name(self.value)


def local_name(value: str) -> str | None:
    """Return the name of a file next to the configuration, or None if the path leads elsewhere."""
    path = PurePosixPath(value)
    if path.is_absolute():
        path = (
            path.relative_to(CONFIG_DIR)
            if path.is_relative_to(CONFIG_DIR)
            else PurePosixPath("a/b")
        )
    return str(path) if len(path.parts) == 1 and NAME_PATTERN.fullmatch(str(path)) else None


def iter_references(config: Config) -> Iterator[FileReference]:
    """Yield all references. `config` is as written: its paths are not resolved yet."""
    yield from _authority_references(config)
    broker = config.broker
    if broker.certificate is not None and broker.key is not None:
        yield FileReference(
            key="broker.certificate", value=broker.certificate, requirement="generated"
        )
        yield FileReference(
            key="broker.key", value=broker.key, is_secret=True, requirement="generated"
        )
    if broker.password_file is not None:
        yield FileReference(key="broker.password_file", value=broker.password_file, is_secret=True)
    yield FileReference(
        key="console.secret_file",
        value=config.console.secret_file,
        is_secret=True,
        requirement="optional",
    )
    for index, camera in enumerate(config.camera):
        camera_key = f"camera[{index}]"
        yield from _option_references(camera.options, f"{camera_key}.options")
        yield from _option_references(camera.detect_options or {}, f"{camera_key}.detect_options")
        if camera.detect.scene is not None:
            yield FileReference(
                key=f"{camera_key}.detect.scene", value=camera.detect.scene, absolute_path="never"
            )
        for preset, scene in camera.detect.scenes.items():
            yield FileReference(
                key=f"{camera_key}.detect.scenes.{preset}", value=scene, absolute_path="never"
            )
        if camera.onvif is not None and camera.onvif.password_file is not None:
            yield FileReference(
                key=f"{camera_key}.onvif.password_file",
                value=camera.onvif.password_file,
                is_secret=True,
            )
    for index, head in enumerate(config.head):
        yield from _option_references(head.options, f"head[{index}].options")


def _authority_references(config: Config) -> Iterator[FileReference]:
    update, renewal = config.update, config.renewal
    for key, ca in (
        ("broker.ca", config.broker.ca),
        ("control.ca", config.control.ca),
        ("link.ca", config.link.ca),
        ("update.ca_file", None if update is None else update.ca_file),
        ("renewal.ca_file", None if renewal is None else renewal.ca_file),
    ):
        if ca is not None:
            yield FileReference(key=key, value=ca)


def _option_references(options: Mapping[str, Any], prefix: str) -> Iterator[FileReference]:
    """Yield the driver's options that `agent.config.configuration` resolves as paths."""
    for key, value in options.items():
        if isinstance(value, str) and (key == "path" or key.endswith("_file")):
            yield FileReference(
                key=f"{prefix}.{key}",
                value=value,
                is_secret=bool(_SECRET_KEY_PATTERN.search(key)),
                absolute_path="anywhere" if key == "path" else "config_dir",
            )


def find_problems(
    references: Iterable[FileReference], embedded: EmbeddedFiles, source: str
) -> Iterator[str]:
    """Yield a line for each referenced file that will be missing.

    The value of a secret's path is not shown: the secret itself may have been entered there by mistake.
    """
    embedded_names = sorted({*embedded.files, *embedded.secrets})
    for reference in references:
        location = f"{source}: {reference.key}" + (
            "" if reference.is_secret else f" = {reference.value!r}"
        )
        table = "[secrets]" if reference.is_secret else "[files]"
        is_absolute = reference.value.startswith("/")
        if is_absolute and reference.name is None and reference.absolute_path == "anywhere":
            continue
        if reference.name is None or (is_absolute and reference.absolute_path == "never"):
            yield f"{location}: lies elsewhere; allowed: the name of a file in {table}, without folders"
        elif reference.is_secret and reference.name in embedded.files:
            yield f"{location}: is in [files], from where it stays on the card; allowed: in [secrets]"
        elif reference.requirement == "required" and reference.name not in embedded_names:
            yield f"{location}: is not in {table}; there are: {', '.join(embedded_names) or 'none'}"
