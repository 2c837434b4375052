"""The plugin of Hermes: the attach server inside `hermes gateway run`."""
