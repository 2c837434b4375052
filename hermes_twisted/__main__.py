"""Runs `hermes-attach` as `python -m hermes_twisted`."""

from .cli.main import main

main()
