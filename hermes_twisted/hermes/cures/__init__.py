"""What we do in place of a Hermes release that is incompatible or harmful: one file for each."""
