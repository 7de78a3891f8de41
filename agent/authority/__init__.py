"""Authority: signed messages, the certificates of their signers, and the revocation of these."""
