"""Makes the site of docs/ and of the documents that lie elsewhere in the project, without a second copy of any.

A document outside docs/ gets a page; links between documents, which are right in the project itself, are made right for
the site, and those to code, which is not on the site, become plain text.
"""

import posixpath
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))

import command_line
import schema

ROOT = Path(__file__).parents[2]
# Pages by their places on the site, and where they lie in the project.
PAGES = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "conduct.md": "CODE_OF_CONDUCT.md",
    "model-card.md": "python/whs_fast/models/CARD.md",
    "results.md": "bench/RESULTS.md",
    "training.md": "training/README.md",
    "measurements.schema.json": "python/whs_fast/data/measurements.schema.json",
    "scaling.png": "bench/scaling.png",
}
# Pages that are made, and the source that documents link to for each.
MADE = {
    "command-line.md": ("python/whs_fast/cli/__init__.py", command_line.markdown),
    "measurements.md": ("python/whs_fast/data/measurements.schema.json", schema.markdown),
}
_SITE_OF = {source: page for page, source in PAGES.items()} | {source: page for page, (source, _) in MADE.items()}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that do not lie in docs/."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for page, (_, make) in MADE.items():
        files.append(File.generated(config, page, content=make()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Makes the links of a page right for the site."""
    place = page.file.src_uri
    folder = posixpath.dirname(PAGES.get(place, f"docs/{place}"))

    def mend(link: re.Match[str]) -> str:
        image, text, target, part = link.groups()
        source = posixpath.normpath(posixpath.join(folder, target))
        if source in _SITE_OF:
            there = _SITE_OF[source]
        elif source.startswith("docs/") and (ROOT / source).is_file():
            there = source.removeprefix("docs/")
        elif (ROOT / source).exists():
            return text
        else:
            return link[0]  # leads nowhere: the strict build says so
        return f"{image}[{text}]({posixpath.relpath(there, posixpath.dirname(place) or '.')}{part or ''})"

    return _LINK.sub(mend, markdown)
