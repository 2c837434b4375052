"""Options: how they are declared, the kinds of their values, and where values are given."""
