"""What both sides of the worker's pipe run: the front, and Hermes' own Python.

Standard library only, because nothing of ours is installed under Hermes' Python.
"""
