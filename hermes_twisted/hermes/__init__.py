"""The host: the code that touches Hermes.

It runs under Hermes' own Python, where neither this project nor Twisted need be installed, so
it imports itself, `shared` and the standard library; and Hermes, once that is needed. Start
reading at `host` (what is done for Hermes), `seat` (one client) and `main` (the worker).
"""
