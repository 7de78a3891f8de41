"""Custody of footage: the signed chain of receipts."""
