"""Encryption of footage: segment keys, and their wrapping for recipients."""
