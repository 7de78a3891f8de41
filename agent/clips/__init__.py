"""Clips: spans of footage that the centre fetches, made and uploaded by a child process."""
