"""A new password of a camera, in its password file or in its address, once the camera has accepted it."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.base import atomic_file, checked_convert
from agent.base.message import Message
from agent.config.configuration import Config
from agent.console.config_edit import replace_url_password
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError

MAX_PASSWORD_CHARS = 128


class PasswordUse(msgspec.Struct, frozen=True, kw_only=True):
    """One use of a camera's password, which is in a file, or in the address if `file` is None.

    `driver` opens the camera's stream with `options`; None is ONVIF.
    """

    name: str
    driver: str | None
    options: Mapping[str, Any]

    @property
    def file(self) -> str | None:
        """The password file."""
        return self.options.get("password_file")


def find_uses(config: Config, camera: str) -> tuple[PasswordUse, ...]:
    """Return all uses of the camera's password, those of its file also by other cameras and by heads.

    Raises ConsoleError if it has no password, or several.
    """
    uses = tuple(_iter_uses(config))
    files = {use.file for use in uses if use.name == camera}
    if len(files) != 1:
        raise ConsoleError(
            Message(
                "camera {name}: {count} passwords in its configuration; allowed: one, in a password_file or in url",
                name=camera,
                count=len(files),
            )
        )
    if files == {None}:
        return tuple(use for use in uses if use.name == camera)
    return tuple(use for use in uses if use.file in files)


def set_password(
    context: ConsoleContext, camera: str, uses: tuple[PasswordUse, ...], password: str
) -> None:
    """Replace the password if each camera and head that uses it accepts it.

    Raises ConsoleError if it is not allowed or has no receipt, DriverError if a camera refuses it or does not answer,
    UserError if a change of the configuration is on trial, and OSError if it cannot be written: it is the old one then.
    """
    if not 0 < len(password) <= MAX_PASSWORD_CHARS:
        raise ConsoleError(
            Message("password: allowed: 1 to {max_chars} characters", max_chars=MAX_PASSWORD_CHARS)
        )
    content = f"{password}\n".encode()
    # In memory: a password that no camera accepts is never on the disk.
    fd = os.memfd_create("password")
    try:
        os.fchmod(fd, 0o600)
        os.write(fd, content)
        for use in uses:
            _try_password(context, use, _with_password(use, password, f"/proc/self/fd/{fd}"))
    finally:
        os.close(fd)
    names = ", ".join(sorted({use.name for use in uses}))
    context.write_receipt(f"camera {camera}: a new password, which {names} accepted")
    file = uses[0].file
    if file is None:
        context.config_editor.set_camera_password(camera, password, context.technician)
    else:
        atomic_file.replace_atomically(Path(file), content, 0o600)


def _with_password(use: PasswordUse, password: str, password_file: str) -> dict[str, Any]:
    if use.file is None:
        return {**use.options, "url": replace_url_password(use.options["url"], password)}
    return {**use.options, "password_file": password_file}


def _iter_uses(config: Config) -> Iterator[PasswordUse]:
    for camera in config.camera:
        for options in (camera.options, camera.detect_options):
            if options and ("password_file" in options or _has_password(options.get("url"))):
                yield PasswordUse(name=camera.name, driver=camera.driver, options=options)
        if camera.onvif is not None and camera.onvif.password_file is not None:
            onvif = {
                "url": camera.onvif.url,
                "username": camera.onvif.username,
                "password_file": camera.onvif.password_file,
            }
            yield PasswordUse(name=camera.name, driver=None, options=onvif)
    for head in config.head:
        if "password_file" in head.options:
            keys = ("url", "username", "password_file")
            onvif = {key: head.options[key] for key in keys if key in head.options}
            yield PasswordUse(name=head.name, driver=None, options=onvif)


def _has_password(url: object) -> bool:
    return isinstance(url, str) and replace_url_password(url, "") is not None


def _try_password(context: ConsoleContext, use: PasswordUse, options: Mapping[str, Any]) -> None:
    """Open the camera's stream, or read its description over ONVIF, with the new password."""
    # Imported here: the drivers' libraries are large, an idle console is not.
    from drivers import catalog  # noqa: PLC0415
    from drivers.contracts import StreamRequest  # noqa: PLC0415
    from drivers.onvif.client import OnvifClient  # noqa: PLC0415
    from drivers.onvif.credentials import OnvifAccess  # noqa: PLC0415

    path = str(context.config_path)
    if use.driver is None:
        client = OnvifClient(
            use.name, checked_convert.convert(options, OnvifAccess, path, use.name)
        )
        try:
            client.read_camera_info()
        finally:
            client.close()
        return
    module = catalog.load_camera_driver(use.driver)
    camera = module.open_camera(
        use.name,
        checked_convert.convert(options, module.Options, path, use.name),
        StreamRequest(packets=True, frames_fps=0),
        context.clock.boottime_ns,
    )
    camera.close()
