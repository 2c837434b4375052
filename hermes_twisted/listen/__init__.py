"""Listening ports, client addresses and TLS: the layers below HTTP."""
