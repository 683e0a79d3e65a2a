"""What is to be done with the copies: a plan, for a person to review."""
