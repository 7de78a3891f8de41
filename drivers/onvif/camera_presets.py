"""Presets that a camera stores: numbers of the agent, names and tokens of the camera."""

from drivers.onvif.client import OnvifClient
from drivers.onvif.operations import CameraPreset


class CameraPresets:
    """The presets of one head, by a media profile."""

    def __init__(self, client: OnvifClient, profile: str) -> None:
        self._client = client
        self._profile = profile
        self._tokens: dict[int, str] = {}
        """The tokens of the presets that were stored since the connection."""

    def own_token(self, number: int) -> str | None:
        """Return the token of `vigie-<number>`, or None if the camera does not have it."""
        own_presets = {preset.name: preset.token for preset in self._read()}
        return self._tokens.get(number) or own_presets.get(_name(number))

    def store(self, number: int, token: str | None) -> None:
        """Store the present position as `vigie-<number>`, in place of the one with the token."""
        self._tokens[number] = self._client.store_preset(self._profile, _name(number), token)

    def find(self, number: int) -> CameraPreset | None:
        """Return `vigie-<number>`, or the camera's own preset of that token, or None."""
        presets = self._read()
        by_token = {preset.token: preset for preset in presets}
        by_name = {preset.name: preset for preset in presets}
        return (
            by_token.get(self._tokens.get(number, ""))
            or by_name.get(_name(number))
            or by_token.get(str(number))
        )

    def _read(self) -> tuple[CameraPreset, ...]:
        return self._client.read_presets(self._profile)


def _name(number: int) -> str:
    return f"vigie-{number}"
