"""Ports, the addresses of who comes there, and TLS: everything below HTTP."""
