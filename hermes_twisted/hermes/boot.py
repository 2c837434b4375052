"""Start the worker under Hermes' Python: `python -P boot.py FD`.

Run as a script. It loads this very copy of `hermes_twisted` by its path, so that
nothing has to be installed on Hermes' side and no directory of ours comes onto
`sys.path`, where it could shadow a module of Hermes.
"""

import importlib.util
import os
import sys


def load_package() -> None:
    """Make `hermes_twisted` importable without touching `sys.path`."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    spec = importlib.util.spec_from_file_location(
        "hermes_twisted",
        os.path.join(root, "__init__.py"),
        submodule_search_locations=[root],
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no package at {root}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["hermes_twisted"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    load_package()
    from hermes_twisted.hermes.main import main

    main(int(sys.argv[1]))
