"""Updates of the system: which slot boots, bundles that are fetched, checked and installed by RAUC."""
