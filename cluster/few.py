"""How much is little work. The program imports this at every start, for its options."""

from __future__ import annotations

FEW = 512
"""Tasks that are run without a cluster, which takes 1.5 s of processor time to start, and 0.1 GB of memory. A scan with
so many takes two minutes."""
