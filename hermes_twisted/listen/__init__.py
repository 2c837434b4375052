"""Everything below HTTP: ports, the addresses of clients, TLS."""
