"""Commands about recorded footage: list, hold, release."""
