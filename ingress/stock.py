"""/v1/clinics/{id}/stock: what a clinic has of each product, counted and entered by its people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import json_answer
from ingress.body import read_as
from ingress.calendar_of import IF_MATCH, etag, require_version
from ingress.desk import CLINIC_ID, desk_key, own_clinic
from ingress.operation import STRING, Answer, Operation, Parameter, answering
from ingress.parts import Parts
from ingress.refusal import Refused, wrong_field
from ingress.requests import json_body
from ingress.stock_types import StockAnswer, StockCount, StockMovement, StockReport, stock_answer
from waiting_room.access import Scope
from waiting_room.domain.stock import LotKey
from waiting_room.domain.stocktake import CountedLot, NotInStock, Stocktake, TooMany
from waiting_room.messages import AccessKey
from waiting_room.store import stock
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Connection
from waiting_room.store.stock import Product

STOCK: Final = "/v1/clinics/{id}/stock"
PRODUCT_STOCK: Final = STOCK + "/{product}"
_Enter = Callable[[Stocktake], None]
_decode_count: Final = msgspec.json.Decoder(StockCount).decode
_decode_movement: Final = msgspec.json.Decoder(StockMovement).decode


async def report(parts: Parts, request: Request) -> Response:
    clinic_id = request.path_params["id"]
    own_clinic(parts, desk_key(parts, dict(request.scope["headers"]), Scope.CLINIC_READ), clinic_id)

    async def run(connection: Connection) -> StockReport:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            lots, short = await stock.report(connection, clinic_id), await stock.short(connection, clinic_id)
            found = [stock_answer(each, lots, short) for each in await stock.products(connection, clinic_id)]
        return StockReport(clinic_id=clinic_id, products=found)

    return json_answer(await parts.reads.run(run))


async def get(parts: Parts, request: Request) -> Response:
    clinic_id, name = request.path_params["id"], request.path_params["product"]
    own_clinic(parts, desk_key(parts, dict(request.scope["headers"]), Scope.CLINIC_READ), clinic_id)
    return _told(*await parts.reads.run(lambda connection: _read(connection, clinic_id, name)))


async def count(parts: Parts, request: Request) -> Response:
    key, raw = await _entered(parts, request)
    found = read_as(raw, _decode_count).lots
    pointers: dict[LotKey, str] = {}
    for at, each in enumerate(found):
        if (each.pool, each.lot) in pointers:
            detail = f"Lot {each.lot} is there twice in the pool {each.pool}."
            raise wrong_field(f"/lots/{at}", detail, "Add the two up.", problems.WRONG_VALUE)
        pointers[each.pool, each.lot] = f"/lots/{at}/on_hand"
    counted = [CountedLot(each.pool, each.lot, each.expires_on, each.on_hand) for each in found]
    return await _change(parts, request, key, lambda take: take.count(counted), pointers)


async def move(parts: Parts, request: Request) -> Response:
    key, raw = await _entered(parts, request)
    movement = read_as(raw, _decode_movement)
    lot, doses = (movement.pool, movement.lot), movement.doses
    match movement.kind:
        case "received":
            if movement.expires_on is None:
                raise _lacks("expires_on")
            expires_on = movement.expires_on
            return await _change(parts, request, key, lambda take: take.receive(lot, expires_on, doses))
        case "transferred":
            if movement.to_pool is None or movement.to_pool == movement.pool:
                raise _lacks("to_pool")
            to_pool = movement.to_pool
            return await _change(parts, request, key, lambda take: take.transfer(lot, to_pool, doses))
        case "wasted":
            return await _change(parts, request, key, lambda take: take.waste(lot, doses))
        case "administered":  # to somebody without a booking
            return await _change(parts, request, key, lambda take: take.administer(lot, doses))


async def _entered(parts: Parts, request: Request) -> tuple[AccessKey, bytes]:
    """Whose key it is, if it may change this clinic's stock, and the body."""
    headers = dict(request.scope["headers"])
    key = desk_key(parts, headers)
    own_clinic(parts, key, request.path_params["id"])
    return key, await json_body(request, parts.settings.ingress_body_max_bytes)


async def _change(
    parts: Parts, request: Request, key: AccessKey, enter: _Enter, pointers: Mapping[LotKey, str] | None = None
) -> Response:
    """``pointers``: where the body says how many of a lot there are, where it does so of several."""
    clinic_id, name = request.path_params["id"], request.path_params["product"]
    if "\0" in name:  # PostgreSQL has no zero in its texts
        raise _unknown(clinic_id, name)

    async def work(connection: Connection) -> tuple[Product, StockAnswer]:
        await Journal.open(connection, [clinic_id])
        opened = await stock.open_stock(connection, clinic_id, name)
        if opened is None:
            raise _unknown(clinic_id, name)
        require_version(request, opened.version)
        try:
            enter(opened.take)
        except NotInStock as error:
            raise Refused(problems.NOT_IN_STOCK, str(error)) from error
        except TooMany as error:
            pointer = "/doses" if pointers is None else pointers[error.key]
            fix = f"Add {error.room} at the most, or enter the rest under another lot."
            raise wrong_field(pointer, str(error), fix, problems.WRONG_VALUE) from error
        await opened.write(key.key_id)
        return await _read(connection, clinic_id, name)

    return _told(*await parts.writes.run(work))


async def _read(connection: Connection, clinic_id: str, name: str) -> tuple[Product, StockAnswer]:
    found = [each for each in await stock.products(connection, clinic_id) if each.product == name]
    if not found:
        raise _unknown(clinic_id, name)
    lots, short = await stock.report(connection, clinic_id, name), await stock.short(connection, clinic_id, name)
    return found[0], stock_answer(found[0], lots, short)


def _told(product: Product, answer: StockAnswer) -> Response:
    return json_answer(answer, headers={"ETag": etag(product.version)})


def _unknown(clinic_id: str, name: str) -> Refused:
    return Refused(problems.UNKNOWN_PRODUCT, f"Clinic {clinic_id} has no product {name}.")


def _lacks(field: str) -> Refused:
    return wrong_field(f"/{field}", f"The movement needs {field}.", "Add it.", problems.MISSING_FIELD)


_PRODUCT: Final = Parameter(
    name="product", where="path", schema=STRING, description="A product of the clinic's business.", required=True
)
_ETAG: Final = {
    "ETag": {**STRING, "description": "The version of what was counted and entered; bookings are no part of it."}
}
_CHANGE_PROBLEMS: Final = (
    problems.NOT_FOUND,
    problems.MALFORMED_JSON,
    problems.BAD_HEADER,
    problems.UNKNOWN_PRODUCT,
    problems.CHANGED_MEANWHILE,
    problems.WRONG_CONTENT_TYPE,
    problems.BODY_TOO_LARGE,
    problems.UNKNOWN_FIELD,
    problems.MISSING_FIELD,
    problems.WRONG_VALUE,
    problems.IF_MATCH_MISSING,
    problems.NOT_CHANGED,
)

STOCK_REPORT: Final = Operation(
    name="stock",
    method="GET",
    path=STOCK,
    summary="Read all of a clinic's stock, reconciled with its ledger",
    endpoint=answering(report),
    parameters=(CLINIC_ID,),
    answers=(Answer(status=200, description="Every product of its business.", body=StockReport),),
    problems=(problems.NOT_FOUND, problems.READS_AWAY),
)
GET_STOCK: Final = Operation(
    name="get_stock",
    method="GET",
    path=PRODUCT_STOCK,
    summary="Read a clinic's stock of a product",
    endpoint=answering(get),
    parameters=(CLINIC_ID, _PRODUCT),
    answers=(Answer(status=200, description="Its lots.", body=StockAnswer, headers=_ETAG, always=("ETag",)),),
    problems=(problems.NOT_FOUND, problems.UNKNOWN_PRODUCT, problems.READS_AWAY),
)
COUNT_STOCK: Final = Operation(
    name="count_stock",
    method="PUT",
    path=PRODUCT_STOCK,
    summary="Enter what was counted of a product",
    endpoint=answering(count),
    parameters=(CLINIC_ID, _PRODUCT, IF_MATCH),
    body=StockCount,
    answers=(
        Answer(
            status=200,
            description="What it is from now on, and who goes short.",
            body=StockAnswer,
            headers=_ETAG,
            always=("ETag",),
        ),
    ),
    problems=_CHANGE_PROBLEMS,
)
MOVE_STOCK: Final = Operation(
    name="move_stock",
    method="POST",
    path=f"{PRODUCT_STOCK}/movements",
    summary="Enter what came in, broke, is kept for others or was given to somebody without a booking",
    endpoint=answering(move),
    parameters=(CLINIC_ID, _PRODUCT, IF_MATCH),
    body=StockMovement,
    answers=(
        Answer(
            status=200,
            description="What it is from now on, and who goes short.",
            body=StockAnswer,
            headers=_ETAG,
            always=("ETag",),
        ),
    ),
    problems=(*_CHANGE_PROBLEMS, problems.NOT_IN_STOCK),
)
