"""Attach a Hermes Agent terminal UI to an agent on another machine.

This module imports nothing: the worker loads it under Hermes' own Python.
"""

__version__ = "0.1.0"
