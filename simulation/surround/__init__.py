"""The rendered street all around a pole, seen by a camera on a pan-tilt head."""
