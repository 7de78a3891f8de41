"""Support bundle: a box's state and logs for support, without its secrets."""
