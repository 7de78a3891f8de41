"""From tracks to events: each rule is an object with state, without I/O and without a clock.

`road_users` says who is there, `presence` who is in a zone; the rules stand on these two.
"""
