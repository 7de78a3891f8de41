"""A rendered street with known ground truth: its road users, their drawing, and the camera views."""
