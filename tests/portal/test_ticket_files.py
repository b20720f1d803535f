"""Files of tickets: given as downloads only, shown only as plain pictures, taken within limits, and no text lost."""

import errno
import http.client
import socket
import threading
from collections.abc import Iterable
from time import monotonic
from typing import Any

import pytest
import sqlalchemy as sa

from models.tickets.ticket import ARTICLE, ATTACHMENT, TICKET
from portal import serve as portal_serve
from portal.attachments import picture_type
from portal.serve import serve
from portal.upload import FILES_LIMIT, UPLOAD_LIMIT
from tests.desk import free_port, wait_until
from tests.portal.site import Browser, Site
from tests.portal.ticket_site import BO, LUCIA, PNG, a_ticket, add, kept, key_of, multipart, number_of, send
from values.addresses import clean_file_name
from values.vocabulary import ArticleKind

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(document.cookie)</script></svg>'
HTML = b"<html><script>alert(1)</script>"
TEXT = "A long story about the export.\r\nIt took me half an hour."


def raw(browser: Browser, path: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(browser.host, browser.port, timeout=30)
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    connection.request("GET", path, headers={"Cookie": cookie})
    answer = connection.getresponse()
    return answer, answer.read()


@pytest.mark.parametrize(
    "name,type,octets",
    [("x.svg", "image/svg+xml", SVG), ("x.html", "text/html", HTML), ("x.png", "image/png", HTML),
     ("x.png", "image/png", SVG), ("x.pdf", "application/pdf", b"%PDF-1.4"), ("x.jpg", "image/jpeg", b"\xff\xd8"),
     ("x", "text/html; charset=x", b"")],
)  # fmt: skip
def test_T38_a_file_is_a_download_and_nothing_that_runs(site: Site, name: str, type: str, octets: bytes) -> None:
    number = a_ticket(site, files=(kept(site, name, type, octets),))
    lucia, id = site.sign_in(LUCIA), int(site.scalar(sa.select(ATTACHMENT.c.id)))
    answer, body = raw(lucia, f"/tickets/{number}/files/{id}")
    assert (answer.status, body) == (200, octets)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{name}"')
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert raw(lucia, f"/tickets/{number}/pictures/{id}")[0].status == 404


@pytest.mark.parametrize(
    "octets,type",
    [(PNG, "image/png"), (b"\xff\xd8\xff\xe0rest", "image/jpeg"), (b"GIF89arest", "image/gif"),
     (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp")],
)  # fmt: skip
def test_a_plain_picture_is_shown_by_what_it_is(site: Site, octets: bytes, type: str) -> None:
    number = a_ticket(site, files=(kept(site, "x.png", "image/png", octets),))
    id = int(site.scalar(sa.select(ATTACHMENT.c.id)))
    lucia = site.sign_in(LUCIA)
    assert f'<img src="/tickets/{number}/pictures/{id}" alt="Picture: x.png"' in lucia.get(f"/tickets/{number}").body
    answer, body = raw(lucia, f"/tickets/{number}/pictures/{id}")
    assert (answer.status, body, answer.headers["content-type"]) == (200, octets, type)
    assert answer.headers["content-security-policy"].endswith("sandbox")
    assert picture_type(octets) == type


@pytest.mark.parametrize(
    "typed,name",
    [("../../etc/passwd", "passwd"), ("C:\\x\\a.txt", "a.txt"), ('a"b\r\nX: y.txt', "a_b X_ y.txt"), ("", "file"),
     ("..", "file"), (".hidden", "hidden"), ("\u202egnp.exe", "gnp.exe"), ("a" * 300 + ".png", "a" * 116 + ".png"),
     ("skärm 1.png", "skärm 1.png")],
)  # fmt: skip
def test_names_of_files(typed: str, name: str) -> None:
    assert clean_file_name(typed) == name


def test_a_name_with_other_letters_is_told_in_both_ways(site: Site) -> None:
    number = a_ticket(site, files=(kept(site, "Отчёт skärm.txt", "text/plain", b"x"),))
    id = int(site.scalar(sa.select(ATTACHMENT.c.id)))
    answer, _ = raw(site.sign_in(LUCIA), f"/tickets/{number}/files/{id}")
    said = answer.headers["content-disposition"]  # RFC 6266 §4.3, RFC 8187
    assert 'filename=" skarm.txt"' in said and said.endswith("%D1%91%D1%82%20sk%C3%A4rm.txt")


def test_T38_no_letter_becomes_a_quotation_mark_in_the_header(site: Site) -> None:
    """NFKD makes plain ones of full-width letters: of a quotation mark, a backslash, a percent sign, a slash."""
    name = "a\uff02; filename=\uff02b.html\uff3c\uff05\uff0f.txt"
    number = a_ticket(site, files=(kept(site, name, "text/plain", b"x"),))
    id = int(site.scalar(sa.select(ATTACHMENT.c.id)))
    answer, _ = raw(site.sign_in(LUCIA), f"/tickets/{number}/files/{id}")
    plain = answer.headers["content-disposition"].partition("; filename*=")[0]
    assert plain == 'attachment; filename="a_; filename=_b.html___.txt"'


def test_a_blob_that_is_gone_is_a_page_that_is_not_there(site: Site) -> None:
    number = a_ticket(site, files=(file := kept(site, "x.png", "image/png", PNG),))
    id = int(site.scalar(sa.select(ATTACHMENT.c.id)))
    site.parts.blobs.delete(file.sha256)
    lucia = site.sign_in(LUCIA)
    assert (
        lucia.get(f"/tickets/{number}/files/{id}").status == lucia.get(f"/tickets/{number}/pictures/{id}").status == 404
    )
    assert lucia.get(f"/tickets/{number}").status == 200


# --- limits, and nothing lost -------------------------------------------------------------------------------------


def test_too_many_and_too_large_files_are_told_with_the_text(site: Site) -> None:
    number, lucia = a_ticket(site), site.sign_in(LUCIA)
    many = send(lucia, f"/tickets/{number}", {"text": TEXT}, *(("a.txt", "text/plain", b"a"),) * (FILES_LIMIT + 1))
    large = send(lucia, f"/tickets/{number}", {"text": TEXT}, ("a.bin", "application/x", bytes(UPLOAD_LIMIT)))
    for answer, why in ((many, "more than 20 files"), (large, "more than 32 MB")):
        assert answer.status == 413 and why in answer.body
        assert "It took me half an hour." in answer.body and f'action="/tickets/{number}"' in answer.body
    assert site.count(ARTICLE) == 1 and site.count(ATTACHMENT) == 0
    fits = send(lucia, f"/tickets/{number}", {"text": TEXT}, *(("a.txt", "text/plain", b"a"),) * FILES_LIMIT)
    assert number_of(fits) == number and site.count(ATTACHMENT) == FILES_LIMIT


def test_who_is_signed_out_meanwhile_keeps_his_text(site: Site) -> None:
    lucia = site.sign_in(LUCIA)
    form = {"subject": "Long", "text": TEXT, "key": key_of(lucia.get("/tickets/new"))}
    site.clock.move(hours=13)
    answer = send(lucia, "/tickets/new", form, ("a.bin", "application/x", bytes(1 << 20)))
    assert answer.status == 403 and "half an hour" in answer.body and "not signed in any more" in answer.body
    assert form["key"] in answer.body and site.count(TICKET) == 0
    assert number_of(send(site.sign_in(LUCIA), "/tickets/new", form))


class Broken:
    """A store that fails where it is told to."""

    def __init__(self, blobs: Any, at: str) -> None:
        self._blobs, self._at = blobs, at

    def __getattr__(self, name: str) -> Any:
        if name == self._at:
            raise OSError(errno.ENOSPC, "no space left on device")
        return getattr(self._blobs, name)


@pytest.mark.parametrize("at", ["put", "put_bytes", "sync"])
@pytest.mark.parametrize("path", ["/tickets/new", "/tickets/1001"])
def test_a_store_that_is_away_loses_no_text_and_makes_no_row(site: Site, at: str, path: str) -> None:
    a_ticket(site)
    lucia, blobs = site.sign_in(LUCIA), site.parts.blobs
    object.__setattr__(site.parts, "blobs", Broken(blobs, at))
    answer = send(lucia, path, {"subject": "Long", "text": TEXT}, ("a.txt", "text/plain", b"a"))
    assert answer.status == 503 and "cannot store" in answer.body and "half an hour" in answer.body
    assert "choose them again" in answer.body and site.count(ARTICLE) == 1
    object.__setattr__(site.parts, "blobs", blobs)
    assert number_of(send(lucia, path, {"subject": "Long", "text": TEXT}))


def test_a_database_that_goes_away_and_a_fault_of_ours_lose_no_text(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, lucia = a_ticket(site), site.sign_in(LUCIA)

    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    def away(*_: object, **__: object) -> None:
        raise sa.exc.TimeoutError

    monkeypatch.setattr("portal.parts.RACE_PATIENCE", 0.1)
    for broken, status in ((fails, 500), (away, 503)):
        monkeypatch.setattr("portal.post.record", broken)
        answer = send(lucia, f"/tickets/{number}", {"text": TEXT})
        assert answer.status == status and "half an hour" in answer.body and "ZeroDivision" not in answer.body
    assert site.count(ARTICLE) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"--xx--\r\n", b"--xx\r\n\r\n", b"--xx\r\nContent-Disposition: form-data\r\n\r\nx\r\n--xx--\r\n",
     b"\0" * 5000,
     multipart({f"f{n}": "x" for n in range(100)}), multipart({"text": "\0"}), multipart({"text": "x" * (2 << 20)}),
     b'--xx\r\nContent-Disposition: form-data; name="files"; filename="a\r\nX: y"\r\n\r\nx\r\n--xx--\r\n'],
)  # fmt: skip
def test_no_multipart_form_is_a_fault_of_ours(site: Site, body: bytes) -> None:
    number, lucia = a_ticket(site), site.sign_in(LUCIA)
    for path in (f"/tickets/{number}", "/tickets/new"):
        for kind in (
            "multipart/form-data; boundary=xx",
            "multipart/form-data",
            "multipart/form-data; boundary=" + "x" * 500,
        ):
            assert lucia.post(path, body, Content_Type=kind).status in (303, 413, 422), (path, kind)


@pytest.mark.parametrize("charset", ["punycode", "utf-7", "idna", "unicode_escape", "utf-16", "undefined", '"a;b"'])
def test_T53_a_form_with_files_is_utf8_whatever_its_charset_says(site: Site, charset: str) -> None:
    number, lucia = a_ticket(site), site.sign_in(LUCIA)
    form = {"Content_Type": f"multipart/form-data; charset={charset}; boundary=xx"}
    began = monotonic()
    for sender in (lucia, site.browser()):
        body = multipart({"text": "b" * 100_000, "csrf": "+2AA-"})
        assert sender.post(f"/tickets/{number}", body, **form).status in (303, 403, 413, 422)
    assert monotonic() - began < 2
    answer = lucia.post(f"/tickets/{number}", multipart({"text": "Grüße, 東京"}), **form)
    assert answer.status in (303, 422) and (answer.status == 303 or "Grüße, 東京" in answer.body)


def test_files_of_a_form_are_gone_from_disk_when_it_is_answered(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import portal.upload

    seen: list[Any] = []

    class Seen(portal.upload.MultiPartParser):
        async def parse(self) -> Any:
            found = await super().parse()
            seen.extend(value.file for _, value in found.multi_items() if not isinstance(value, str))
            return found

    monkeypatch.setattr(portal.upload, "MultiPartParser", Seen)
    number, lucia = a_ticket(site), site.sign_in(LUCIA)
    send(lucia, f"/tickets/{number}", {"text": "x"}, ("a.bin", "application/x", bytes(3 << 20)))
    send(lucia, f"/tickets/{number}", {"text": "x" * 60_000}, ("a.bin", "application/x", bytes(3 << 20)))
    wait_until(lambda: len(seen) == 2 and all(file.closed for file in seen), "the files are closed")


# --- slow lines (T53) ---------------------------------------------------------------------------------------------


def drip(port: int, kind: bytes, pieces: Iterable[bytes], every: float) -> tuple[bytes, float]:
    """What a form that comes in pieces is answered, and after how long it ended."""
    began, body = monotonic(), list(pieces)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: " + kind + b"\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        try:
            connection.sendall(head % sum(map(len, body)))
            pause = threading.Event()
            for piece in body:
                connection.sendall(piece)
                pause.wait(every)
            answer = connection.recv(100)
        except OSError:
            answer = b""
    return answer, monotonic() - began


def test_T53_a_form_with_files_has_the_time_that_its_octets_earn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portal_serve, "UPLOAD_RATE", 10_000)
    stop, port = threading.Event(), free_port()
    bound: list[tuple[str, int]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while scope["type"] == "http" and (await receive()).get("more_body"):
            pass
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    served: dict[str, Any] = {"announce": bound.append, "request_seconds": 1.0}
    server = threading.Thread(target=serve, args=(app, "127.0.0.1", port, stop), kwargs=served, daemon=True)
    server.start()
    wait_until(lambda: bound, "the portal")
    upload, form = b"multipart/form-data; boundary=x", b"application/x-www-form-urlencoded"
    assert drip(port, upload, [bytes(5000)] * 8, 0.3)[0].startswith(b"HTTP/1.1 204")  # 2.4 s, and faster than the rate
    slow, after = drip(port, upload, [bytes(100)] * 20, 0.3)
    assert slow == b"" and after < 4  # slower than the rate
    assert drip(port, form, [bytes(5000)] * 8, 0.3)[0] == b""  # no files: no more time
    stop.set()
    server.join(20)
    assert not server.is_alive()


def test_a_stranger_gets_no_time_and_no_room_for_files(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.upload.STRANGER_SECONDS", 0.5)
    began = monotonic()
    with socket.create_connection((site.host, site.port), timeout=30) as connection:
        connection.sendall(
            b"POST /tickets/new HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\n"
            b"Content-Type: multipart/form-data; boundary=xx\r\nContent-Length: 9000000\r\n\r\n--xx\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert monotonic() - began < 5


# --- whose files --------------------------------------------------------------------------------------------------


def test_files_of_notes_and_of_others_are_not_there(site: Site) -> None:
    file = kept(site, "x.png", "image/png", PNG)
    mine, theirs = a_ticket(site, files=(file,)), a_ticket(site, by=BO, customer=site.bolt, files=(file,))
    add(site, mine, ArticleKind.NOTE, "internal", (file,))
    lucia = site.sign_in(LUCIA)
    with site.engine.connect() as connection:
        ids = list(connection.execute(sa.select(ATTACHMENT.c.id).order_by(ATTACHMENT.c.id)).scalars())
    for what in ("files", "pictures"):
        found = {
            (n, id) for n in (mine, theirs) for id in ids if raw(lucia, f"/tickets/{n}/{what}/{id}")[0].status == 200
        }
        assert found == {(mine, ids[0])}, what
