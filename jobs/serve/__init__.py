"""The web page: what the terminal does, for eyes and ears. Calls `dedup`, and owns no decision."""
