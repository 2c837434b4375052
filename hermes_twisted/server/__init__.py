"""The service: what an operator decided, the parts put together, and their start and stop."""
