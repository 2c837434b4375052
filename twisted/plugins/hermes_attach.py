"""`twistd hermes-attach`: names the module that does it, and imports nothing else."""

from twisted.application.service import ServiceMaker

hermes_attach = ServiceMaker(
    "Hermes attach",
    "hermes_twisted.tap",
    "Attach a Hermes Agent terminal UI over a WebSocket.",
    "hermes-attach",
)
