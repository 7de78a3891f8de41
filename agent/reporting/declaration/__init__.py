"""The public page of a declaration in French, Arabic and English. Pure: the box and the centre render the same."""
