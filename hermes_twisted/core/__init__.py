"""Decisions without IO.

Nothing here imports Twisted's reactor machinery, Autobahn or Hermes. The modules
`outbox`, `lanes` and `packets` also run under Hermes' Python, so they use the
standard library only.
"""
