"""Only looked at: what a socket handler of that kind promises in its ready frame."""


async def handle_ws(ws):
    from tui_gateway import server
    from tui_gateway.event_replay import replay_epoch

    payload = {
        "skin": server.resolve_skin(),
        "change_events": True,
        "heartbeat": True,
        "replay_epoch": replay_epoch(),
    }
    await ws.send(payload)
