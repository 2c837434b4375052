"""Who may attach, and what they may do: keys, admission, scopes."""
