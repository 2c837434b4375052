"""`python -m hermes_twisted` is `hermes-attach`."""

from .cli.main import main

main()
