"""HTTP/1.1: strict parsing, the pages, and the upgrade to a WebSocket."""
