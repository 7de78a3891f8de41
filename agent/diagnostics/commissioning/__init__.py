"""Commissioning: the as-installed certificate of a box, and the changes since."""
