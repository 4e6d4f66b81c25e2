"""Fetches jars from Maven, for `devstack.jars`, which decides what is wanted and whether it is right.

Apart because `jgo` takes longer to import than the check that nothing needs fetching.
"""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath

import requests
from jgo.maven import Artifact, MavenContext

# Kafka speaks slf4j 1.7: the binding named `slf4j2` would log nothing.
_LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl"
_ATTEMPTS = 4
_BACKOFF_SECONDS = 0.5
_THREADS = 8
_TIMEOUT_SECONDS = 30


class FetchFailed(RuntimeError):
    """A file could not be had after several attempts; the message is one line."""


def fetch(paths: Iterable[str], repository: Path) -> Iterator[str]:
    """Downloads files by their path in a Maven repository, replacing them, and yields each as it is done.

    Raises FetchFailed; what had been fetched by then stays.
    """
    context = MavenContext(repo_cache=repository, timeout=_TIMEOUT_SECONDS)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="maven") as threads:
        fetching = {threads.submit(_fetch_one, context, path): path for path in paths}
        try:
            for fetched in as_completed(fetching):
                fetched.result()
                yield fetching[fetched]
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def resolve(coordinates: str, repository: Path) -> list[str]:
    """Downloads an artifact, all it needs, and the log binding of the very log4j that comes with it.

    Returns their paths in class path order.
    """
    context = MavenContext(repo_cache=repository, timeout=_TIMEOUT_SECONDS)
    inputs, transitive = context.resolver.resolve([context.create_dependency(coordinates)])
    dependencies = [*inputs, *(each for each in transitive if each.scope in ("compile", "runtime"))]
    artifacts: list[Artifact] = [dependency.artifact for dependency in dependencies]
    log4j = next(artifact.version for artifact in artifacts if artifact.artifactId == "log4j-core")
    artifacts.append(context.create_dependency(f"{_LOG_BINDING}:{log4j}").artifact)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="maven") as threads:
        files = threads.map(lambda artifact: artifact.resolve(), artifacts)
        return [file.relative_to(repository).as_posix() for file in files]


def _fetch_one(context: MavenContext, path: str) -> None:
    *group, artifact, version, name = PurePosixPath(path).parts
    target = context.repo_cache / path
    for attempt in range(1, _ATTEMPTS + 1):
        target.unlink(missing_ok=True)
        try:
            context.project(".".join(group), artifact).at_version(version).artifact().resolve()
        except (requests.RequestException, RuntimeError, OSError) as error:
            target.unlink(missing_ok=True)
            if attempt == _ATTEMPTS:
                raise FetchFailed(f"cannot download {name}: {_reason(error)}") from error
            time.sleep(_BACKOFF_SECONDS * 2**attempt)
        else:
            return


def _reason(error: Exception) -> str:
    if isinstance(error, requests.ConnectionError):
        return "no connection to the Maven repository"
    return (str(error) or type(error).__name__).splitlines()[0]
