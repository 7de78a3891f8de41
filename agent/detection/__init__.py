"""From a frame to events: where to look, what is there, what it did."""

import cv2

# Each stage has its own thread already. OpenCV's workers would burn more CPU for the same picture,
# and on a box every core is somebody's.
cv2.setNumThreads(1)
