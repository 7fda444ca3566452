"""The heart: what an auction is. Pure rules, and the use-cases that the doors call."""
