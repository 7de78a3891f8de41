"""What all that can go wrong with an update has in common."""


class UpdateError(Exception):
    """It was not done. `str(error)` is one line that says what, and why."""
