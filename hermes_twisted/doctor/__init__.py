"""`hermes-attach doctor`: finds the layer that fails, and says what to do about it.

`client` checks a server from outside, as the stock UI reaches it; `server` checks this machine.
Checks are plain functions that return `Finding`s; access to sockets, processes and files is passed
to them.
"""
