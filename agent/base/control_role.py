"""Roles of control certificates: the organisation (O) in a certificate's subject. Pure."""

from typing import Literal, get_args

ControlRole = Literal["viewer", "operator", "incident", "supervisor", "maintainer", "centre"]
"""Role of a person or a system.

viewer      looks
operator    moves heads, switches outputs and holds footage
incident    coordinates an incident
supervisor  decides about scenes, masks, settings and exports
maintainer  cares for the box itself
centre      a system, never a person: acknowledges messages and announces itself
"""
CONTROL_ROLES: tuple[ControlRole, ...] = get_args(ControlRole)
