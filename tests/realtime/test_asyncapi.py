"""The AsyncAPI document has every message of the live protocol."""

import json
from typing import get_args

import msgspec

from realtime import asyncapi
from realtime.protocol import REQUESTS, Outgoing, name_of

DOCUMENT = json.loads(asyncapi.document())


def names(operation: str) -> list[str]:
    return [message["$ref"].rpartition("/")[2] for message in DOCUMENT["operations"][operation]["messages"]]


def test_every_message_is_in_it_in_its_direction() -> None:
    assert names("request") == [name_of(type_) for type_ in REQUESTS]
    assert names("answer") == [name_of(type_) for type_ in get_args(Outgoing)]
    messages = {*names("request"), *names("answer")}
    assert (
        set(DOCUMENT["channels"]["live"]["messages"]) == set(DOCUMENT["components"]["messages"]) == messages
    )


def test_every_message_has_its_fields_and_says_what_it_is() -> None:
    for type_ in (*REQUESTS, *get_args(Outgoing)):
        message = DOCUMENT["components"]["messages"][name_of(type_)]
        assert message["summary"]
        schema = DOCUMENT["components"]["schemas"][message["payload"]["$ref"].rpartition("/")[2]]
        assert set(schema["properties"]) == {"type", *(field.name for field in msgspec.structs.fields(type_))}
        assert schema["properties"]["type"]["enum"] == [name_of(type_)]


def test_every_reference_leads_somewhere() -> None:
    def check(value: object) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                target = DOCUMENT
                for step in value["$ref"].removeprefix("#/").split("/"):
                    target = target[step]
            for member in value.values():
                check(member)
        elif isinstance(value, list):
            for item in value:
                check(item)

    check(DOCUMENT)
