"""What looks after a store: check, repair, compaction."""
