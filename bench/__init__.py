"""Measures the server, alone or beside Hermes' own. `README.md` says how to read it."""
