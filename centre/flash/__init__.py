"""The flasher's side: an image and the settings of one box go onto a card, and are read back."""
