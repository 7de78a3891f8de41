"""A rendered street with known ground truth, seen by a fixed camera: its road users and their drawing."""
