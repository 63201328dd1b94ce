"""What the node is told: destinations, titles, and options that do not fit together."""

import pytest
from whs_fast.cli import main
from whs_fast.errors import InputError
from whs_fast.node.sending import Destination, check_title, parse_destination


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ARCHIVE@pacs:104", Destination("ARCHIVE", "pacs", 104)),
        ("A B@C@10.0.0.1:11112", Destination("A B@C", "10.0.0.1", 11112)),
        ("PACS@[::1]:104", Destination("PACS", "::1", 104)),
    ],
)
def test_destinations(text, expected):
    assert parse_destination(text) == expected


@pytest.mark.parametrize("text", ["", "PACS", "pacs:104", "PACS@pacs", "PACS@pacs:", "@pacs:104", "PACS@:104", "A@h:0"])
def test_destinations_that_are_none(text):
    with pytest.raises(InputError, match="expected"):
        parse_destination(text)


@pytest.mark.parametrize("title", ["", "  ", "SEVENTEENLETTERS!", "A\\B", "Ä", "A\nB"])
def test_titles_that_are_none(title):
    with pytest.raises(InputError, match="expected 1 to 16 printable ASCII"):
        check_title(title)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--send-to", "nowhere"], "destination: found 'nowhere', expected AET@HOST:PORT"),
        (["--send-to", "A@b:104", "--aet", ""], "AE title: found '', expected 1 to 16 printable ASCII characters"),
        (["--send-to", "A@b:104", "--allow", "x" * 17], "AE title: found 'xxxxxxxxxxxxxxxxx', expected 1 to 16"),
        (
            ["--send-to", "A@b:104", "--tls-cert", "c.pem"],
            "TLS: --tls-cert, --tls-key and --tls-ca belong together",
        ),
        (["--send-to", "A@b:104", "--bind", "0.0.0.0"], "bind: other machines can reach 0.0.0.0;"),
        ([], "Missing option '--send-to'"),
    ],
)
def test_options_that_cannot_be_used(options, told, capsys, tmp_path):
    assert main(["node", "--queue", str(tmp_path / "queue"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"whs-fast: {told}") and not (tmp_path / "queue").exists()
