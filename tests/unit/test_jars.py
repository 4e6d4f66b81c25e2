"""A jar that is not the one we tested never runs."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from devstack import jars
from devstack.jars import JarsUnavailable, kafka_jars
from devstack.maven import FetchFailed

_PATHS = ["org/one/1.0/one-1.0.jar", "org/two/2.0/two-2.0.jar"]
_RIGHT = {path: f"the bytes of {path}".encode() for path in _PATHS}


class Maven:
    """Stands in for the repository, which we do not own; gives what it is told to, then the right bytes."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.wrong_next: dict[str, int] = {}
        self.reachable = True

    def fetch(self, paths: Iterable[str], repository: Path) -> Iterator[str]:
        for path in paths:
            if not self.reachable:
                raise FetchFailed(f"cannot download {Path(path).name}: no connection to the Maven repository")
            self.fetched.append(path)
            wrong = self.wrong_next.get(path, 0) > 0
            self.wrong_next[path] = self.wrong_next.get(path, 0) - 1
            file = repository / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"a login page of the hotel" if wrong else _RIGHT[path])
            yield path


@pytest.fixture
def maven(monkeypatch: pytest.MonkeyPatch) -> Maven:
    maven = Maven()
    monkeypatch.setattr("devstack.maven.fetch", maven.fetch)
    return maven


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    lines = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in _RIGHT.items()]
    file = tmp_path / "jars.sha256"
    file.write_text("".join(lines))
    return file


def test_missing_jars_are_fetched_once(maven: Maven, lock_file: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert kafka_jars(tmp_path, lock_file=lock_file) == [tmp_path / path for path in _PATHS]
    assert maven.fetched == _PATHS


def test_nothing_is_hashed_while_nothing_changes(
    maven: Maven, lock_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka_jars(tmp_path, lock_file=lock_file)
    hashed: list[Path] = []
    monkeypatch.setattr(jars, "_sha256", hashed.append)
    kafka_jars(tmp_path, lock_file=lock_file)
    assert hashed == []


def test_a_damaged_jar_is_replaced(maven: Maven, lock_file: Path, tmp_path: Path) -> None:
    kafka_jars(tmp_path, lock_file=lock_file)
    damaged = tmp_path / _PATHS[1]
    before = damaged.stat()
    damaged.write_bytes(bytes(before.st_size))  # same size
    os.utime(damaged, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    kafka_jars(tmp_path, lock_file=lock_file)
    assert damaged.read_bytes() == _RIGHT[_PATHS[1]]
    assert maven.fetched == [*_PATHS, _PATHS[1]]


def test_a_broken_download_is_tried_once_more(maven: Maven, lock_file: Path, tmp_path: Path) -> None:
    maven.wrong_next[_PATHS[0]] = 1
    kafka_jars(tmp_path, lock_file=lock_file)
    assert (tmp_path / _PATHS[0]).read_bytes() == _RIGHT[_PATHS[0]]


def test_a_jar_that_stays_wrong_is_named_and_not_kept(maven: Maven, lock_file: Path, tmp_path: Path) -> None:
    maven.wrong_next[_PATHS[0]] = 2
    with pytest.raises(JarsUnavailable, match=r"one-1\.0\.jar") as raised:
        kafka_jars(tmp_path, lock_file=lock_file)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / _PATHS[0]).exists()
    assert (tmp_path / _PATHS[1]).exists(), "what is right stays for the next try"


def test_no_network_is_said_in_one_line(maven: Maven, lock_file: Path, tmp_path: Path) -> None:
    maven.reachable = False
    with pytest.raises(JarsUnavailable, match="no connection"):
        kafka_jars(tmp_path, lock_file=lock_file)


def test_the_committed_list_is_complete() -> None:
    names = [line.rsplit("/", 1)[-1] for line in jars.LOCK_FILE.read_text().splitlines()]
    version = jars.KAFKA.rsplit(":", 1)[-1]
    assert f"kafka_2.13-{version}.jar" in names
    assert any(name.startswith("log4j-slf4j-impl") for name in names), "without it the broker logs nothing"
    assert len(names) == len(set(names))
