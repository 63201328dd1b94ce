"""Gives README's links and pictures whole addresses, without which PyPI shows neither.

    python docs/hooks/addresses.py OWNER/NAME REVISION

The workflow `wheels` does so before it builds; only GitHub knows where the project lies.
"""

import re
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def whole(text: str, repository: str, revision: str) -> str:
    """A document at the project's top with the addresses of a repository on GitHub, at a tag or commit."""

    def mend(link: re.Match[str]) -> str:
        image, words, target = link.groups()
        place = "https://raw.githubusercontent.com/{}/{}/" if image else "https://github.com/{}/blob/{}/"
        return f"{image}[{words}]({place.format(repository, revision)}{target})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)\s]+)\)", mend, text)


if __name__ == "__main__":
    README.write_text(whole(README.read_text("utf-8"), *sys.argv[1:]), encoding="utf-8")
