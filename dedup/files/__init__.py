"""Paths, disks, containers: what the system knows about files."""
