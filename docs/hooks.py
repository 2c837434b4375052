"""For mkdocs: the files of examples/ are part of the site, where pages link to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

EXAMPLES = "examples"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add each example."""
    root = Path(config.docs_dir).parent
    for path in sorted((root / EXAMPLES).rglob("*")):
        if path.is_file():
            name = path.relative_to(root).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_more: Any) -> str:
    """In the repository they are beside docs/, in the site within it."""
    return markdown.replace(f"](../{EXAMPLES}/", f"]({EXAMPLES}/")
