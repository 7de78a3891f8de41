"""What moves a head by itself: guard tours, the tracker, and the panorama scan."""
