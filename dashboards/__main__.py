"""``python -m dashboards``: writes the boards' JSON and docs/metrics.md from what the code says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dashboards.boards.all import BOARDS
from dashboards.pages import metrics_page
from dashboards.render import as_json
from dashboards.rule_files import HERE, rules

JSON = HERE / "json"


def files() -> Iterator[tuple[Path, str]]:
    """Every file that is written, and what is in it."""
    for board in BOARDS:
        yield JSON / f"{board.uid}.json", as_json(board)
    yield HERE.parent / "docs" / "metrics.md", metrics_page(BOARDS, rules())


def main() -> None:
    """Write them, and remove the JSON of boards that are no more."""
    written = dict(files())
    for old in JSON.glob("*.json"):
        if old not in written:
            old.unlink()
    for path, text in written.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
