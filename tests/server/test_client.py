"""The client that the demo and the load generators use."""

import json

import msgspec
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from server.client import Api, send_upload
from store.ids import new_id
from store.media.interface import incoming
from store.media.s3 import S3Media


class Service(RequestHandler):
    """Knows the token `new` only, and the answer to the first refresh is lost on the way."""

    shown: list[str]

    def initialize(self, shown: list[str]) -> None:
        self.shown = shown

    def post(self) -> None:
        if self.request.path.endswith("/login"):
            self.write({"access_token": "old", "refresh_token": "first"})
            return
        self.shown.append(json.loads(self.request.body)["refresh_token"])
        if len(self.shown) == 1:
            self.detach().close()
            return
        self.write({"access_token": "new", "refresh_token": "second"})

    def get(self) -> None:
        good = self.request.headers["Authorization"] == "Bearer new"
        self.set_status(200 if good else 401)
        self.write({"code": "ok" if good else "unauthenticated"})


async def test_a_refresh_whose_answer_was_lost_is_asked_for_again() -> None:
    shown: list[str] = []
    listening, port = bind_unused_port()
    server = HTTPServer(Application([(".*", Service, {"shown": shown})]))
    server.add_socket(listening)
    api = await Api(f"http://127.0.0.1:{port}").log_in("ann@example.org", "correct horse")

    assert await api.get("/me") == {"code": "ok"}

    assert shown == ["first", "first"]
    server.stop()
    await server.close_all_connections()


async def test_a_file_goes_to_s3_in_a_form(s3_media: S3Media) -> None:
    photo_id = new_id()
    upload = msgspec.to_builtins(s3_media.upload(photo_id, 5, "image/png", 900))
    await send_upload("http://127.0.0.1", upload, b"12345", "image/png")
    assert s3_media.read(incoming(photo_id), 9) == b"12345"
