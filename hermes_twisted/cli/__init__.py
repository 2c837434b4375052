"""The command `hermes-attach`."""
