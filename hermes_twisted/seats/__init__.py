"""Seats: the state of each client, separate from its connection."""
