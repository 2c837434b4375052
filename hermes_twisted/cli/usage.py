"""What the commands' options have in common."""

from __future__ import annotations

import getopt
import sys
from typing import Any

from twisted.python import usage

from .. import __version__


class Interspersed(usage.Options):
    """Options that may come before and behind the arguments."""

    def parseOptions(self, options: Any = None) -> None:
        """Raises `usage.UsageError`."""
        try:
            pairs, names = getopt.gnu_getopt(list(options), self.shortOpt, self.longOpt)
        except getopt.GetoptError as error:
            raise usage.UsageError(f"{error}.") from None
        ordered = [
            f"{name}={value}" if f"{name[2:]}=" in self.longOpt else name + value
            for name, value in pairs
        ]
        super().parseOptions([*ordered, "--", *names])  # type: ignore[no-untyped-call]

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"hermes-twisted {__version__}")
        sys.exit(0)
