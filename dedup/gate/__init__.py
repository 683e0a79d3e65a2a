"""The gate: is what a new file holds already in the library? Asks one file against the whole store, in a moment."""
