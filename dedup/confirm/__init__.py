"""Whether what seems to be a copy at another speed or pitch is one: one of the two is heard again."""
