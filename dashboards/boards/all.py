"""Every board there is, in the order in which they are looked at."""

from __future__ import annotations

from dashboards.boards import capacity, clinics, delivery, monday, pipeline

BOARDS = (monday.BOARD, pipeline.BOARD, clinics.BOARD, delivery.BOARD, capacity.BOARD)
