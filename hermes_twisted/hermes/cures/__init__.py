"""Cures: workarounds for releases of Hermes that are incompatible or harmful.

One module for each incompatibility, with its record as `CURE`; `table` lists them, `gateway`
applies those that a gateway needs.
"""
