"""The as-installed certificate: what a box was like, and what has changed since."""
