"""Needs of a rule: what it needs of the view to be right. Pure."""

import msgspec

from agent.base.model import LABELS, Label
from agent.base.view_condition import ViewLimit

MIN_VIEW_ANGLE_DEG = 5.7
"""A metre of camera height for ten of distance, the rule of video detection in the Traffic Detector Handbook of the FHWA:
below it the vehicle in front hides the next one. Taken over, not measured here.
"""


class ViewNeeds(msgspec.Struct, frozen=True, kw_only=True):
    """Needs of a rule, next to the pixels per metre of its labels (`agent.detection.pixel_density`).

    `labels` are the road users that it is about. `min_angle_deg` is the angle between the line of sight and the ground.
    `tolerates` are the limits of the view in which it is right all the same; all others are needs.
    """

    labels: frozenset[Label] = frozenset(LABELS)
    min_angle_deg: float = MIN_VIEW_ANGLE_DEG
    tolerates: frozenset[ViewLimit] = frozenset()


FOR_STANDING = frozenset[ViewLimit]({"frame_rate"})
"""Limits that do not matter for road users that stand or stay: they are there in the next picture too."""
