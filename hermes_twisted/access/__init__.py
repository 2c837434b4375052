"""Keys, the admission decision, and the scopes that restrict what a key may do."""
