"""Detection: motion gate, detector, tracker and rules, from a frame to events."""

import cv2

# Each stage has a thread of its own. OpenCV's workers would take more CPU for the same picture.
cv2.setNumThreads(1)
