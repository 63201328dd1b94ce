"""Who gets in: tokens, names that requests were sent to, sites that they come from, sizes that they announce."""

import json
import os
import re
import socket
import subprocess

import pytest
import requests
from support.local_service import LIMITS, running
from support.programs import need

CROSS = {"Origin": "http://evil.example"}


def test_without_the_token_nothing_but_the_empty_page_is_given(service):
    for path in ("/api/jobs", "/api/jobs/1234", "/info/", "/datastore/", "/session/1", "/auth/token/valid", "/nowhere"):
        for token in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {service.tokens['alice']}"}):
            answer = requests.get(service.url + path, headers=token, timeout=10)
            assert (answer.status_code, answer.json()) == (401, {"error": "the token is missing or wrong"}), path
    assert requests.post(service.url + "/api/jobs", timeout=10).status_code == 401
    page = requests.get(service.url + "/", timeout=10)
    assert page.status_code == 200 and "whs_fast" in page.text


def test_a_browser_logs_in_with_a_cookie_that_scripts_and_other_sites_do_not_get(service):
    assert service.ask("POST", "/api/login", owner="nobody").status_code == 401
    answer = service.ask("POST", "/api/login", owner="bob")
    told = answer.headers["Set-Cookie"]
    assert "HttpOnly" in told and "SameSite=strict" in told and "Secure" not in told
    assert requests.get(service.url + "/api/jobs", cookies=answer.cookies, timeout=10).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "", "localhost.evil"]
)
def test_a_name_that_leads_here_by_dns_rebinding_is_not_answered(service, host):
    for path in ("/", "/api/jobs", "/info/"):
        answer = service.ask("GET", path, headers={"Host": host.format(port=service.settings.port)})
        assert answer.status_code in (400, 403), path  # an empty one is no HTTP


def test_addresses_and_localhost_are_answered_and_other_names_where_they_are_allowed(engine, tmp_path):
    with running(engine, tmp_path / "queue", hosts=("Heart.example",)) as service:
        for host in ("localhost", "127.0.0.1", "[::1]:80", "192.0.2.7:8000", "heart.example:443"):
            assert service.ask("GET", "/api/jobs", headers={"Host": host}).status_code == 200, host
        assert service.ask("GET", "/api/jobs", headers={"Host": "lung.example"}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        CROSS,
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_requests_of_other_sites_are_refused_even_with_the_token(service, headers):
    for method, path in (("GET", "/api/jobs"), ("POST", "/api/jobs"), ("DELETE", "/api/jobs/1"), ("GET", "/info/")):
        answer = service.ask(method, path, headers=headers)
        assert (answer.status_code, "other sites" in answer.text) == (403, True)
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_so_they_are_without_tokens(engine, scan, tmp_path):
    with running(engine, tmp_path / "queue", owners=()) as service:
        assert service.ask("GET", "/api/jobs", headers=CROSS).status_code == 403
        assert service.ask("GET", "/api/jobs", headers={"Host": "evil.example"}).status_code == 403
        answer = requests.post(service.url + "/api/jobs", headers=CROSS, files={"file": b"x"}, timeout=10)
        assert answer.status_code == 403
        assert service.send(scan).status_code == 201


def test_a_site_that_is_allowed_gets_answers(engine, tmp_path):
    viewer = {"Origin": "http://127.0.0.1:3000"}
    with running(engine, tmp_path / "queue", origins=(viewer["Origin"],)) as service:
        answer = service.ask("GET", "/info/", headers=viewer | {"Sec-Fetch-Site": "same-site"})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, viewer["Origin"])
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        answer = requests.options(service.url + "/infer/whole_heart_ct", headers=viewer | asked, timeout=10)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, viewer["Origin"])
        assert service.ask("GET", "/info/", headers=CROSS).status_code == 403


def answer_to(service, head, body=b""):
    """The first bytes that come back after a head, with the connection still open on our side."""
    lines = [*head, f"Host: 127.0.0.1:{service.settings.port}", f"Authorization: Bearer {service.tokens['alice']}"]
    with socket.create_connection(("127.0.0.1", service.settings.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        text = b""
        while part := connection.recv(65536):
            text += part
    status, told = re.match(rb"HTTP/1.1 (\d+)", text)[1], text.partition(b"\r\n\r\n")[2]
    return int(status), json.loads(told)["error"]


def test_ten_gigabytes_are_refused_before_they_are_sent(service):
    head = ["POST /api/jobs HTTP/1.1", "Content-Type: multipart/form-data; boundary=x", f"Content-Length: {10 << 30}"]
    assert answer_to(service, head) == (
        413,
        f"the upload is larger than the limit of {LIMITS.upload + (1 << 20)} bytes",
    )


@pytest.mark.parametrize("how", [[], ["-H", "Transfer-Encoding: chunked"]], ids=["length told", "in chunks"])
def test_curl_cannot_send_ten_gigabytes(service, tmp_path, how):
    with (tmp_path / "scan.nii").open("wb") as file:
        file.truncate(10 << 30)  # a hole
    command = [need("curl"), "-s", *how, "-H", f"Authorization: Bearer {service.tokens['alice']}", "-o", os.devnull]
    command += ["-F", f"file=@{tmp_path / 'scan.nii'}", "-w", "%{http_code} %{size_upload}", service.url + "/api/jobs"]
    sent = subprocess.run(command, capture_output=True, text=True, timeout=120)
    status, size = sent.stdout.split()
    assert status == "413" or (how and sent.returncode and status == "100")  # hung up on while it was sending
    assert int(size) < (2 * LIMITS.upload if how else 1 << 20)
    assert list((service.settings.queue / "partial").iterdir()) == []


def test_an_upload_that_does_not_tell_its_size_ends_at_the_limit(service):
    head = ["POST /api/jobs HTTP/1.1", "Content-Type: multipart/form-data; boundary=x", "Transfer-Encoding: chunked"]
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.nii"\r\n\r\n'
    piece = start + bytes(1 << 20)

    def endless():
        yield start
        for number in range(10 << 10):  # ten gigabytes
            sent.append(number)
            yield piece

    sent = []
    headers = {"Authorization": f"Bearer {service.tokens['alice']}", "Content-Type": "multipart/form-data; boundary=x"}
    try:
        answer = requests.post(service.url + "/api/jobs", data=endless(), headers=headers, timeout=60)
        assert answer.status_code == 413
    except requests.ConnectionError:  # it hung up while we were sending
        pass
    assert len(sent) < 200
    assert list((service.settings.queue / "partial").iterdir()) == []
    assert answer_to(service, head, b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece)) == (400, "the upload was cut short")
