"""`hermes-attach doctor`: names the layer that fails, and what to do about it.

`client` looks at a server from the outside, as the stock UI would; `server` looks at
this machine. Checks are plain functions from what was seen to `Finding`s; what looks
(sockets, processes, files) is handed to them.
"""
