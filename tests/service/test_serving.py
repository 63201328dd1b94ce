"""How a service starts and ends: what it tells, what it refuses, what a restart finds."""

import subprocess

import pytest
from support.local_service import running
from support.programs import need
from support.waiting import wait_for
from whs_fast.cli import main
from whs_fast.errors import InputError


def test_tokens_are_told_once_and_stay_valid(engine, tmp_path):
    with running(engine, tmp_path / "queue") as first:
        tokens = first.tokens
        assert set(tokens) == {"alice", "bob"} and all(len(token) > 40 for token in tokens.values())
        assert first.told[0] == f"Serving on {first.url}/" and f"{first.url}/#{tokens['bob']}" in "".join(first.told)
    kept = [path.read_text() for path in (tmp_path / "queue" / "owners").iterdir()]
    assert not any(token in text for token in tokens.values() for text in kept)
    with running(engine, tmp_path / "queue", owners=("alice", "carol")) as second:
        assert set(second.tokens) == {"carol"}
        for name, status in (("alice", 200), ("bob", 401)):
            headers = {"Authorization": f"Bearer {tokens[name]}"}
            assert second.ask("GET", "/api/jobs", headers=headers).status_code == status


def test_a_restart_goes_on_with_what_waited_and_what_ran(engine, scan, tmp_path):
    engine.go.clear()
    with running(engine, tmp_path / "queue", owners=()) as service:
        jobs = [service.send(scan).json()["id"] for _ in range(3)]
        wait_for(lambda: engine.sources)
    engine.go.set()
    with running(engine, tmp_path / "queue", owners=()) as service:
        assert [service.end(job)["state"] for job in jobs] == ["done"] * 3
        assert len(service.ask("GET", "/api/jobs").json()) == 3


def test_it_speaks_tls(engine, tmp_path):
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        need("openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        *subject,
    ]
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run([*command, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    with running(engine, tmp_path / "queue", tls=files) as service:
        assert service.ask("GET", "/api/jobs", verify=files[0]).json() == []
        assert "Secure" in service.ask("POST", "/api/login", verify=files[0]).headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"host": "0.0.0.0", "owners": ()}, "--no-token is for this machine alone"),
        ({"host": "192.0.2.1"}, "choose another one"),
        ({"owners": ("Doe^Jane",)}, "owner: found 'Doe^Jane'"),
        ({"owners": ("anyone",)}, "owner: found 'anyone'"),
        ({"tls": ("cert.pem", "key.pem")}, "TLS: the files cannot be used"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(engine, tmp_path, changes, text):
    with pytest.raises(InputError, match=text.replace("^", r"\^")), running(engine, tmp_path / "queue", **changes):
        pass


def test_a_port_that_is_in_use_and_a_folder_that_is_none_are_refused(service, engine, tmp_path):
    for changes, text in (
        ({"port": service.settings.port}, "address already in use"),
        ({"folders": (tmp_path / "none",)}, "found no folder"),
    ):
        with pytest.raises(InputError, match=text), running(engine, tmp_path / "other", **changes):
            pass


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--no-token", "--owner", "alice"], "--no-token: found with --owner"),
        (["--tls-cert", "cert.pem"], "belong together"),
        (["--max-upload", "lots"], "size: found 'lots'"),
        (["--no-token", "--host", "0.0.0.0"], "other machines can reach 0.0.0.0"),
    ],
)
def test_wrong_options_are_status_2(arguments, text, capsys, tmp_path):
    assert main(["serve", "--queue", str(tmp_path / "queue"), *arguments]) == 2
    assert text in capsys.readouterr().err
