"""Generators of pages and figures in docs/, and what records the results that they show."""
