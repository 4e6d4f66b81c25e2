"""Signing keys of webhook endpoints and the signatures they make, by the Standard Webhooks specification.

An endpoint has a shared secret (``whsec_``, signatures ``v1``: HMAC-SHA256) and a key pair (``whpk_`` is the public
half, signatures ``v1a``: ed25519), made together. While they are rotated the old ones sign as well.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from waiting_room.envelope import CannotOpen, Envelope

_REMEMBERED = 4_096


class SigningKeys(msgspec.Struct, frozen=True):
    """What is sealed. ``repr`` shows nothing of it."""

    secret: str
    private_key: str

    def __repr__(self) -> str:
        return "SigningKeys()"

    @property
    def public_key(self) -> str:
        """``whpk_`` and the public key in base64."""
        public = _private(self.private_key).public_key().public_bytes_raw()
        return f"whpk_{b64encode(public).decode()}"


class Sealed(NamedTuple):
    """Signing keys as they are stored."""

    sealed: bytes
    public_key: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SigningKeys).decode


def new_secret() -> str:
    """As Standard Webhooks has it: base64 of 24 to 64 random bytes."""
    return f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"


def new_keys(secret: str | None = None) -> SigningKeys:
    """A new pair, and a new secret unless one is given."""
    return SigningKeys(secret or new_secret(), f"whsk_{b64encode(secrets.token_bytes(32)).decode()}")


def seal(envelope: Envelope, endpoint_id: str, keys: SigningKeys) -> Sealed:
    """For this endpoint and no other."""
    return Sealed(envelope.seal(_encode(keys), about(endpoint_id)), keys.public_key)


def opened(envelope: Envelope, endpoint_id: str, sealed: bytes) -> SigningKeys:
    """Raises CannotOpen."""
    try:
        return _decode(envelope.open(sealed, about(endpoint_id)))
    except msgspec.MsgspecError as error:
        raise CannotOpen("what was sealed are no signing keys") from error


def about(endpoint_id: str) -> str:
    """What an endpoint's keys are sealed for."""
    return f"webhook endpoint {endpoint_id}"


class Signer:
    """Signs for one endpoint with all its keys, the newest first: a receiver that knows any of them is satisfied."""

    def __init__(self, keys: Sequence[SigningKeys]) -> None:
        """Raises ValueError if a secret is not one."""
        try:
            self._pairs = [(Webhook(each.secret), _private(each.private_key)) for each in keys]
        except (ValueError, EmptyWebhookSecretError) as error:
            raise ValueError("the endpoint's secret cannot be used") from error

    def sign(self, webhook_id: str, at: datetime, body: str) -> str:
        """The value of ``webhook-signature``."""
        content = f"{webhook_id}.{int(at.timestamp())}.{body}".encode()
        signatures = []
        for hmac, private in self._pairs:
            signatures.append(hmac.sign(webhook_id, at, body))
            signatures.append(f"v1a,{b64encode(private.sign(content)).decode()}")
        return " ".join(signatures)


class Signers:
    """Signers by what is stored, so that nothing is opened twice."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._signers: dict[tuple[bytes, ...], Signer] = {}

    def of(self, endpoint_id: str, sealed: tuple[bytes, ...]) -> Signer:
        """With all of these keys. Raises ValueError if there are none, or one cannot be opened or used."""
        signer = self._signers.get(sealed)
        if signer is None:
            if not sealed:
                raise ValueError("the endpoint has no secret")
            signer = Signer([opened(self._envelope, endpoint_id, each) for each in sealed])
            if len(self._signers) >= _REMEMBERED:
                self._signers.clear()
            self._signers[sealed] = signer
        return signer


def _private(text: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(b64decode(text.removeprefix("whsk_")))
