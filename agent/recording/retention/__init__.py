"""Retention of footage: limits, holds, and the eviction of segments."""
