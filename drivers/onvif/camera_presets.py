"""Presets that a camera stores: numbers of the agent, names and tokens of the camera."""

from collections.abc import Callable
from typing import Any


class CameraPresets:
    """The presets of one camera. `call` sends an operation of the PTZ service, and raises DriverError."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._tokens: dict[int, str] = {}
        """The tokens of the presets that were stored since the connection."""

    def own_token(self, number: int) -> str | None:
        """Return the token of `vigie-<number>`, or None if the camera does not have it."""
        own_presets = {str(preset.Name): preset.token for preset in self._read()}
        return self._tokens.get(number) or own_presets.get(_name(number))

    def store(self, number: int, token: str | None) -> None:
        """Store the present position as `vigie-<number>`, in place of the one with the token."""
        token_argument = {} if token is None else {"PresetToken": token}
        self._tokens[number] = str(
            self._call("SetPreset", PresetName=_name(number), **token_argument)
        )

    def find(self, number: int) -> Any | None:
        """Return `vigie-<number>`, or the camera's own preset of that token, or None."""
        presets = self._read()
        by_token = {str(preset.token): preset for preset in presets}
        by_name = {str(preset.Name): preset for preset in presets}
        return (
            by_token.get(self._tokens.get(number, ""))
            or by_name.get(_name(number))
            or by_token.get(str(number))
        )

    def _read(self) -> list[Any]:
        return list(self._call("GetPresets") or ())


def _name(number: int) -> str:
    return f"vigie-{number}"
