"""One client as Hermes sees it: what it owns, whatever becomes of its connection."""
