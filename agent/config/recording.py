"""`[record]` and `[hold]` of the configuration: the footage, and for how long it is kept."""

from typing import Annotated

import msgspec

from agent.config.names import Name

MAX_AGE_DAYS = 90
"""Ceiling for the retention of footage: three months are the most that the Moroccan CNDP allows for video
surveillance of workplaces (deliberation 350-2013). A hold may keep a time range for longer.
"""


MAX_SEGMENT_S = 300

MIN_RESERVE_BYTES = 500_000_000
"""On a large disk: room for an update, and above the threshold of a nearly full disk. With less, the footage
itself would fill the disk, and the box would shed detection and then recording.
"""


class Recipient(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[record.recipient]]`: a key that footage is encrypted for. `public_key` is the base64 of an X25519
    public key's 32 bytes, or the key as PEM.
    """

    id: Name
    public_key: str


FOOTAGE_DIR = "footage"
"""Folder of the footage, in the state folder. Another disk is mounted there."""
RECORDS_DIR = "commissioned"
"""Folder of the installation records, in the state folder."""


class RecordConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[record]`: the ring of footage, in `footage` of the state folder.

    `max_bytes` is per camera, `box_max_bytes` for all of them. `reserve_bytes` stay free on the disk, but at
    most a twentieth of it, or on a small one 500 MB and a fifth. Without a `recipient` footage is stored
    unencrypted.
    """

    segment_s: Annotated[float, msgspec.Meta(ge=1, le=MAX_SEGMENT_S)] = 10.0
    flush_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 1.0
    max_bytes: Annotated[int, msgspec.Meta(ge=10_000_000)] = 16_000_000_000
    box_max_bytes: Annotated[int, msgspec.Meta(ge=10_000_000)] = 64_000_000_000
    max_age_h: Annotated[float, msgspec.Meta(ge=1, le=MAX_AGE_DAYS * 24)] = 72.0
    reserve_bytes: Annotated[int, msgspec.Meta(ge=MIN_RESERVE_BYTES)] = 1_000_000_000
    recipient: Annotated[tuple[Recipient, ...], msgspec.Meta(max_length=16)] = ()


class HoldConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[hold]`: footage held for an event of `kinds`: from `pre_s` before its begin until `post_s` after its
    end, for `event_days`. `command_days` is how long one requester may hold footage by command.
    """

    kinds: tuple[str, ...] = (
        "stopped",
        "wrong_way",
        "person_on_carriageway",
        "crowd",
        "view_blocked",
        "view_moved",
        "camera_lost",
    )
    pre_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 30.0
    post_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 30.0
    event_days: Annotated[float, msgspec.Meta(gt=0, le=MAX_AGE_DAYS)] = 7.0
    command_days: Annotated[float, msgspec.Meta(gt=0, le=MAX_AGE_DAYS)] = 30.0


class FootageRules(msgspec.Struct, frozen=True, kw_only=True):
    """`[record]` and `[hold]` of one configuration."""

    record: RecordConfig = RecordConfig()
    hold: HoldConfig = HoldConfig()

    def during_trial(self, before: "FootageRules") -> "FootageRules":
        """Return the rules while this configuration is on trial: nothing goes that would not go by those `before`.

        The quotas are those before, also if they are smaller: a larger one of a camera takes the room of another. Ages, and
        holds of events, are the longer of both.
        """
        return FootageRules(
            record=msgspec.structs.replace(
                before.record, max_age_h=max(self.record.max_age_h, before.record.max_age_h)
            ),
            hold=HoldConfig(
                kinds=tuple(dict.fromkeys((*before.hold.kinds, *self.hold.kinds))),
                **{
                    name: max(getattr(self.hold, name), getattr(before.hold, name))
                    for name in ("pre_s", "post_s", "event_days", "command_days")
                },
            ),
        )
