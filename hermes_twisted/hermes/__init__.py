"""The code that touches Hermes.

`host`, `worker` and what they import run under Hermes' own Python, where neither
this project nor Twisted need be installed: standard library and `tui_gateway` only.
"""
