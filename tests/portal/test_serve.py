"""The portal as a process: it answers, ends in good order, and says what is wrong where it cannot begin."""

import asyncio
import http.client
import socket
import threading
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic

import anyio
import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from portal.serve import CONNECTIONS, serve
from tests.desk import TestDesk, free_port, wait_until
from tests.portal.site import Browser


def test_the_role_answers_and_ends_with_the_desk(tmp_path: Path) -> None:
    desk = TestDesk(tmp_path / "desk", f"sqlite:///{tmp_path / 'desk.db'}", "smtp://127.0.0.1:1")
    browser = Browser("127.0.0.1", desk.http_port)

    def answers() -> bool:
        try:
            return browser.get("/").status == 200
        except OSError:
            return False

    with desk.running(only="portal"):  # ends with SIGTERM, and asserts the exit status 0
        wait_until(answers, "the portal")
        assert browser.post("/", {"address": "nobody@acme.test"}).to == "/auth/sent"
    assert "nobody@acme.test" in str(desk.json("outbox", "list"))


def test_without_http_listen_there_is_no_portal(tmp_path: Path) -> None:
    desk = TestDesk(tmp_path / "desk", f"sqlite:///{tmp_path / 'desk.db'}", "smtp://127.0.0.1:1", http_listen="")
    refused = desk.call("run", "--only", "portal")
    assert refused.returncode == 2 and "set http_listen" in refused.stderr


def test_what_is_under_way_is_answered_before_the_end() -> None:
    reached, go_on, stop, bound = threading.Event(), threading.Event(), threading.Event(), []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        reached.set()
        await anyio.to_thread.run_sync(go_on.wait)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    port = free_port()
    server = threading.Thread(
        target=serve, args=(slow, "127.0.0.1", port, stop), kwargs={"announce": bound.append}, daemon=True
    )
    server.start()
    wait_until(lambda: bound, "the portal")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/")
    assert reached.wait(30)
    stop.set()
    began = monotonic()
    threading.Timer(0.5, go_on.set).start()
    assert connection.getresponse().status == 204
    server.join(20)
    assert not server.is_alive() and monotonic() - began < 8


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_first_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nagle's algorithm is off on every accepted connection: else each answer on a kept one takes 40 ms."""
    options: list[int] = []
    connected = H11Protocol.connection_made

    def look(self: H11Protocol, transport: asyncio.Transport) -> None:
        options.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        connected(self, transport)  # type: ignore[arg-type]

    monkeypatch.setattr(H11Protocol, "connection_made", look)

    async def empty(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    stop, port = threading.Event(), free_port()
    bound: list[tuple[str, int]] = []
    server = threading.Thread(
        target=serve, args=(empty, "127.0.0.1", port, stop), kwargs={"announce": bound.append}, daemon=True
    )
    server.start()
    wait_until(lambda: bound, "the portal")
    assert _status(port) == 204
    stop.set()
    server.join(20)
    assert options and all(options)


def test_a_taken_port_is_an_error() -> None:
    stop, bound, port = threading.Event(), [], free_port()

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None: ...

    first = threading.Thread(
        target=serve, args=(nothing, "127.0.0.1", port, stop), kwargs={"announce": bound.append}, daemon=True
    )
    first.start()
    wait_until(lambda: bound, "the portal")
    with pytest.raises(OSError):
        serve(nothing, "127.0.0.1", port, threading.Event())
    stop.set()
    first.join(20)
    assert not first.is_alive()


def test_T53_requests_that_never_end_do_not_close_the_portal() -> None:
    """More sockets than the portal serves, each with the beginning of a request and an octet now and then."""
    stop, port = threading.Event(), free_port()
    bound: list[tuple[str, int]] = []

    async def empty(scope: Scope, receive: Receive, send: Send) -> None:
        while scope["type"] == "http" and (await receive()).get("more_body"):
            pass
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    served = {"announce": bound.append, "request_seconds": 4.0}
    server = threading.Thread(target=serve, args=(empty, "127.0.0.1", port, stop), kwargs=served, daemon=True)
    server.start()
    wait_until(lambda: bound, "the portal")
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n"
    begun = (b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", post, b"")
    slow: list[socket.socket] = []

    def is_full() -> bool:
        """On a busy machine the first are over before the last are there: more come until it is full once."""
        for number in range(CONNECTIONS + 10 if not slow else 40):
            slow.append(socket.create_connection(("127.0.0.1", port), timeout=30))
            slow[-1].sendall(begun[number % len(begun)])
        return _status(port) == 503

    wait_until(is_full, "the portal is full")

    def answers_again() -> bool:
        for connection in slow:
            with suppress(OSError):
                connection.sendall(b"x")
        return _status(port) == 204

    wait_until(answers_again, "honest requests are answered again", 20)
    for connection in slow:
        _read_to_the_end(connection)
    stop.set()
    server.join(20)
    assert not server.is_alive()


def _status(port: int) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", "/")
        return connection.getresponse().status


def _read_to_the_end(connection: socket.socket) -> None:
    """Times out where the other side has not closed it."""
    with connection, suppress(ConnectionResetError):
        while connection.recv(4096):
            pass
