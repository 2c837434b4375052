"""RFC 6455 between a seat and a socket: frames, compression, limits, pings, the waiting room."""
