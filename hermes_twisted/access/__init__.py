"""Who may attach, and what they may do: keys, the decision on a handshake, scopes."""
