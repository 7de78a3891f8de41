"""Needs of a rule: what it needs of the view to be right. Pure."""

import msgspec

from agent.base.model import LABELS, Label
from agent.base.view_condition import ViewLimit

MIN_VIEW_ANGLE_DEG = 5.7
"""Angle between the line of sight and the ground. A metre of camera height for ten of distance, the rule of video detection
in the Traffic Detector Handbook of the FHWA: below it the vehicle in front hides the next one. Taken over, not measured here.
"""


class ViewNeeds(msgspec.Struct, frozen=True, kw_only=True):
    """Needs of a rule, next to the pixels per metre of its labels (`agent.detection.pixel_density`).

    `labels` are the road users that it is about. `tolerates` are the limits of the view in which it is right all the same;
    all others are needs, and so is an angle of MIN_VIEW_ANGLE_DEG.
    """

    labels: frozenset[Label] = frozenset(LABELS)
    tolerates: frozenset[ViewLimit] = frozenset()


FOR_STANDING = frozenset[ViewLimit]({"frame_rate"})
"""Limits that do not matter for road users that stand or stay: they are there in the next picture too."""
