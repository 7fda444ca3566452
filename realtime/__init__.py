"""Door 2: WebSocket. Typed messages, sockets, rooms and their fan-out, recovery."""
