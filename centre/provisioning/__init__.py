"""Settings files of many boxes, written in the office."""
