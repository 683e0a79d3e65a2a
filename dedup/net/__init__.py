"""What clients of servers and services on the net have in common."""
