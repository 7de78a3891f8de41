"""Recording of footage: segments, their recovery, catalogue and archive."""
