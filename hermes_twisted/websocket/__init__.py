"""WebSockets (RFC 6455): WebSocket frames, compression, limits, pings, the waiting room."""
