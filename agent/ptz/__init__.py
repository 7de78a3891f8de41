"""Pan-tilt heads: leases, motion, presets, and what moves a head by itself."""
