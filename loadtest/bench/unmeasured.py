"""``python -m loadtest.bench.unmeasured``: ingress as it would be if it measured nothing."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram


def _nothing(*_: object, **__: object) -> None:
    return None


def main() -> None:
    """Serves as ``python -m ingress`` does."""
    for kind, methods in ((Counter, ("inc",)), (Gauge, ("inc", "dec", "set")), (Histogram, ("observe",))):
        for method in methods:
            setattr(kind, method, _nothing)
    from ingress.__main__ import main as serve

    serve()


if __name__ == "__main__":
    main()
