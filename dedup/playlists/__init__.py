"""Playlists: what they refer to, and files that moved."""
