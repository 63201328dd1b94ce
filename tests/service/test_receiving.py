"""Forms that arrive in pieces of any size, and forms that are none."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from whs_fast.service import receiving
from whs_fast.service.queue import RefusedError
from whs_fast.service.receiving import receive_form

SCAN = bytes(range(256)) * 3 + b"\r\n--limi\r\n"
BODY = (
    b'--limit\r\nContent-Disposition: form-data; name="formats"\r\n\r\nnifti,stl\r\n'
    b'--limit\r\nContent-Disposition: form-data; name="file"; filename="/home/Doe^Jane/Scan.NII.GZ"\r\n'
    b"Content-Type: application/gzip\r\n\r\n" + SCAN + b"\r\n"
    b'--limit\r\nContent-Disposition: form-data; name="file"; filename="../../I0001"\r\n\r\nsecond\r\n--limit--\r\n'
)


def receive(folder, pieces, kind="multipart/form-data; boundary=limit", take=lambda count: None):
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages += [{"type": "http.request", "body": b"", "more_body": False}]

    async def get():
        return messages.pop(0)

    request = Request({"type": "http", "headers": [(b"content-type", kind.encode())]}, get)
    return asyncio.run(receive_form(request, folder, take))


@given(cuts=st.lists(st.integers(0, len(BODY)), max_size=20))
def test_however_it_is_cut_it_holds_the_same(cuts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("received")
    bounds = [0, *sorted(cuts), len(BODY)]
    form = receive(folder, [BODY[a:b] for a, b in pairwise(bounds)])
    assert form.fields == {"formats": "nifti,stl"}
    assert form.files == [("file", folder / "00000.nii.gz"), ("file", folder / "00001")]
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == [SCAN, b"second"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (BODY, "multipart/form-data", 415),
        (BODY[:-20], "multipart/form-data; boundary=limit", 400),
        (BODY, "multipart/form-data; boundary=other", 400),
        (b"", "multipart/form-data; boundary=limit", 400),
        (BODY.replace(b"nifti,stl", b"x" * 70_000), "multipart/form-data; boundary=limit", 413),
        (BODY.replace(b"nifti,stl", b"\xff"), "multipart/form-data; boundary=limit", 400),
    ],
)
def test_what_is_no_whole_form_is_refused(body, kind, status, tmp_path):
    with pytest.raises(RefusedError) as refused:
        receive(tmp_path, [body], kind)
    assert refused.value.status == status


def test_who_counts_may_refuse_before_anything_is_written(tmp_path):
    def take(count):
        raise RefusedError(507, "full")

    with pytest.raises(RefusedError, match="full"):
        receive(tmp_path, [BODY], take=take)
    assert all(path.stat().st_size == 0 for path in tmp_path.iterdir())


def test_there_is_a_most_of_files(tmp_path, monkeypatch):
    monkeypatch.setattr(receiving, "_MOST_FILES", 1)
    with pytest.raises(RefusedError, match="more than 1 files"):
        receive(tmp_path, [BODY])


def test_who_sends_nothing_for_long_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(receiving, "_IDLE_S", 0.01)

    async def get():
        await asyncio.sleep(60)

    headers = [(b"content-type", b"multipart/form-data; boundary=limit")]
    with pytest.raises(RefusedError, match="nothing has arrived") as refused:
        asyncio.run(receive_form(Request({"type": "http", "headers": headers}, get), tmp_path, lambda count: None))
    assert refused.value.status == 408
