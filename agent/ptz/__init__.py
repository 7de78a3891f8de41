"""Pan-tilt heads: leases, motion, presets, and automatic movers."""
