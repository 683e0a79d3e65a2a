"""Pairs and groups for people and for programs."""
