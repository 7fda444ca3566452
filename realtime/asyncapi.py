"""The AsyncAPI 3 document of `/ws/live`, made from the messages of `realtime.protocol`.

The REST processes serve it, and get it from `server`: the doors do not import each other.
"""

from typing import Any, get_args

import msgspec

from market.fields import portable
from realtime.protocol import REQUESTS, Outgoing, name_of

Json = dict[str, Any]

DESCRIPTION = """One WebSocket carries any number of live auctions; each message is one JSON object in one text frame.
A request has a `ref` that its reply repeats, and every request may be answered by an `error`; pushes have no `ref`.
Bidding needs an `authenticate` with a ticket from `POST /api/v1/ws-tickets`. docs/protocol.md tells the meaning."""


def document() -> bytes:
    """The document, as JSON."""
    incoming = {name_of(type_): type_ for type_ in REQUESTS}
    outgoing = {name_of(type_): type_ for type_ in get_args(Outgoing)}
    messages = incoming | outgoing
    schemas, components = msgspec.json.schema_components(
        messages.values(), ref_template="#/components/schemas/{name}"
    )
    whole: Json = {
        "asyncapi": "3.0.0",
        "info": {"title": "NeighborBid live", "version": "1", "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {
            "live": {
                "address": "/ws/live",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": {
            "request": _operation("receive", "What a client sends.", list(incoming)),
            "answer": _operation("send", "Replies and pushes.", list(outgoing)),
        },
        "components": {
            "messages": {
                name: {"name": name, "title": name, "summary": type_.__doc__, "payload": schema}
                for (name, type_), schema in zip(messages.items(), schemas, strict=True)
            },
            "schemas": components,
        },
    }
    return portable(msgspec.json.encode(whole))


def _operation(action: str, summary: str, messages: list[str]) -> Json:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/live"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/live/messages/{name}"} for name in messages],
    }
