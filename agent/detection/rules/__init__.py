"""Rules: from tracks to events. docs/adding/rule.md adds one.

The rules share `road_users` (tracks with their memory), `zone_occupancy` and `line_crossing`.
"""
