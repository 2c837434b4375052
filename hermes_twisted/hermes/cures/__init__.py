"""Cures: what is done in place of a Hermes release that is incompatible or harmful.

One module for each incompatibility, with its record as `CURE`; `table` lists them, `gateway`
applies those that a gateway needs.
"""
