"""Which database errors are faults of ours that pass, and which say that this very work cannot be stored."""

from __future__ import annotations

import asyncpg

from waiting_room.envelope import UnknownMasterKey

_PASSING = (
    OSError,  # refused, reset, unreachable; TimeoutError is one of them
    asyncpg.InterfaceError,  # the connection or the pool is closed
    asyncpg.InternalClientError,  # the connection ended in the middle of an answer
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, crashed, starting up, cancelled by a timeout
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.InvalidTransactionStateError,  # the server ended an idle transaction
    asyncpg.LockNotAvailableError,
    UnknownMasterKey,  # passes when this process is given the key; until then nothing may be decided without it
)


def passes(error: BaseException) -> bool:
    """Whether the same work may succeed later: nothing about it is wrong."""
    return isinstance(error, _PASSING)


def is_contention(error: BaseException) -> bool:
    """Whether somebody else held a row for too long: smaller work may get through."""
    return isinstance(error, asyncpg.LockNotAvailableError | asyncpg.TransactionRollbackError)
