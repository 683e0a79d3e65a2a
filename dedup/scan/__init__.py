"""Files become fingerprints in a store."""
