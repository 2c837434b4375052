"""Fakes for tests of what serves a terminal: a connection in memory, a backend played by hand.

Nothing of the package imports this. The wire behaves as Twisted's TCP does where that
matters: a connection ends in a later turn of the loop, a paused one keeps what comes.
"""
