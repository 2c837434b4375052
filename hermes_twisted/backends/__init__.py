"""What answers a seat's requests: Hermes in a worker process or in this one, or a recording."""
