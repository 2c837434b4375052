"""Modules that run both in the front and, in the worker, under Hermes' own Python.

They use the standard library only: our dependencies are not installed under Hermes' Python.
"""
