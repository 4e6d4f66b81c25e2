"""The jars of Apache Kafka: pinned by `kafka-jars.sha256`, kept in the cache folder.

The list is a lock file in the format of `sha256sum`, with the paths of a Maven repository: the coordinates
follow from them, so that a download walks no POMs and a jar that is not the one we tested never runs.
`python -m devstack.jars --lock` writes the list anew, for a change of `KAFKA`.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from devstack.cache import cache_folder, exclusive

KAFKA = "org.apache.kafka:kafka_2.13:4.4.0"
LOCK_FILE = Path(__file__).with_name("kafka-jars.sha256")

Progress = Callable[[str], None]


class JarsUnavailable(RuntimeError):
    """The jars cannot be had; the message is one line for the person at the terminal."""


def kafka_jars(
    repository: Path | None = None, *, lock_file: Path = LOCK_FILE, progress: Progress = lambda _: None
) -> list[Path]:
    """The verified jars in class path order, downloaded first where they are missing or damaged.

    A jar is hashed when it is new or when its size or modification time differ from when it was last
    found good; everything cached costs a few milliseconds and no network. Safe to call from several
    processes. Raises JarsUnavailable.
    """
    repository = repository or _repository()
    repository.mkdir(parents=True, exist_ok=True)
    wanted = _locked(lock_file)
    with exclusive(repository / ".lock"), _Verified(repository) as verified:
        missing = [path for path, sha256 in wanted.items() if not verified.holds(path, sha256)]
        wrong = _fetch(missing, wanted, verified, progress)
        if wrong:  # a connection cut short looks like this too: once more
            wrong = _fetch(wrong, wanted, verified, progress)
        if wrong:
            names = ", ".join(Path(path).name for path in wrong)
            raise JarsUnavailable(f"not the files {lock_file.name} lists: {names} (does a proxy or mirror alter them?)")
    return [repository / path for path in wanted]


def _fetch(paths: list[str], wanted: dict[str, str], verified: "_Verified", progress: Progress) -> list[str]:
    """Downloads what is listed and returns those that came out wrong, which are gone from disk again."""
    if not paths:
        return []
    from devstack.maven import FetchFailed, fetch

    wrong: list[str] = []
    done_bytes = 0
    try:
        for count, path in enumerate(fetch(paths, verified.repository), start=1):
            file = verified.repository / path
            done_bytes += file.stat().st_size
            progress(f"Apache Kafka: {count}/{len(paths)} jars, {done_bytes / 1e6:.0f} MB")
            if not verified.holds(path, wanted[path]):
                file.unlink()
                wrong.append(path)
    except FetchFailed as error:
        raise JarsUnavailable(str(error)) from error
    return wrong


class _Verified:
    """Remembers, beside the jars, which file had the right hash, by size and modification time."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self._stamp_file = repository / ".verified.json"
        self._stamps: dict[str, list[int | str]] = {}
        with contextlib.suppress(OSError, ValueError):  # the worst that follows is hashing every jar once
            self._stamps = json.loads(self._stamp_file.read_text())
        self._saved = dict(self._stamps)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Writes what has been found good, for the next process, also when something else failed."""
        if self._stamps == self._saved:
            return
        fresh = self._stamp_file.with_suffix(".new")
        fresh.write_text(json.dumps(self._stamps, indent=1))
        fresh.replace(self._stamp_file)

    def holds(self, path: str, sha256: str) -> bool:
        """Whether the file is there and right."""
        file = self.repository / path
        try:
            status = file.stat()
        except FileNotFoundError:
            return False
        stamp: list[int | str] = [status.st_size, status.st_mtime_ns, sha256]
        if self._stamps.get(path) == stamp:
            return True
        if _sha256(file) != sha256:
            return False
        self._stamps[path] = stamp
        return True


def _repository() -> Path:
    return cache_folder() / "maven"


def _locked(lock_file: Path) -> dict[str, str]:
    lines = (line.split(maxsplit=1) for line in lock_file.read_text().splitlines() if line)
    return {path: sha256 for sha256, path in lines}


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _write_lock() -> None:
    from devstack.maven import resolve

    paths = resolve(KAFKA, _repository())
    lines = [f"{_sha256(_repository() / path)}  {path}\n" for path in paths]
    LOCK_FILE.write_text("".join(lines))
    print(f"{LOCK_FILE.name}: {len(lines)} jars")


def _show(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{line}", end="", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Without arguments fetches the jars; with `--lock` writes the list anew."""
    if arguments == ["--lock"]:
        _write_lock()
        return 0
    try:
        jars = kafka_jars(progress=_show)
    except JarsUnavailable as error:
        print(f"Apache Kafka: {error}", file=sys.stderr)
        return 1
    _show(f"Apache Kafka: {len(jars)} jars verified\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
