"""Export of footage: clips, export folders, and their verification."""
