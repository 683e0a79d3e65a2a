"""Paths, disks, containers: what the system knows of files."""
