"""HTTP/1.1 before a WebSocket: the head, the pages, and the hand-over of an upgrade."""
