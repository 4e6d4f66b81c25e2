"""Signatures as a receiver in JavaScript checks them: v1 by npm's standardwebhooks, v1a by node's own crypto."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.npm import node_modules
from waiting_room.webhook_signing import Signer, SigningKeys, new_keys

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="needs node and npm, which are not here"
)

VERIFY = """
const { createRequire } = require("node:module");
const crypto = require("node:crypto");
const { Webhook } = createRequire(process.argv[1] + "/")("standardwebhooks");
const { secret, publicKey, headers, body } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));

function v1() {
  try { return JSON.stringify(new Webhook(secret).verify(body, headers)) === JSON.stringify(JSON.parse(body)); }
  catch (error) { return false; }
}

function v1a() {
  const raw = Buffer.from(publicKey.slice("whpk_".length), "base64");
  const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);
  const key = crypto.createPublicKey({ key: der, format: "der", type: "spki" });
  const content = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  return headers["webhook-signature"].split(" ").map((each) => each.split(",")).some(
    ([version, signature]) => version === "v1a" && crypto.verify(null, content, key, Buffer.from(signature, "base64")));
}

console.log(JSON.stringify({ v1: v1(), v1a: v1a() }));
"""
BODY = '{"type":"booking.confirmed","data":{"name":"Zoë"}}'


@pytest.fixture(scope="module")
def packages() -> Path:
    return node_modules()


def verified(packages: Path, keys: SigningKeys, headers: dict[str, str], body: str = BODY) -> dict[str, bool]:
    """What a receiver that knows ``keys`` finds."""
    told = {"secret": keys.secret, "publicKey": keys.public_key, "headers": headers, "body": body}
    done = subprocess.run(
        ["node", "-e", VERIFY, str(packages)], input=json.dumps(told), capture_output=True, text=True, check=True
    )
    answer: dict[str, bool] = json.loads(done.stdout)
    return answer


def headers_by(*keys: SigningKeys) -> dict[str, str]:
    now = datetime.now(UTC)
    signature = Signer(keys).sign("0001-1-ep_1", now, BODY)
    return {
        "webhook-id": "0001-1-ep_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }


def test_both_kinds_of_signature_hold(packages: Path) -> None:
    keys = new_keys()
    assert verified(packages, keys, headers_by(keys)) == {"v1": True, "v1a": True}


def test_during_a_rotation_whoever_knows_the_old_or_the_new_is_satisfied(packages: Path) -> None:
    new, old = new_keys(), new_keys()
    headers = headers_by(new, old)
    assert verified(packages, new, headers) == verified(packages, old, headers) == {"v1": True, "v1a": True}


def test_what_was_changed_or_signed_by_another_does_not(packages: Path) -> None:
    keys = new_keys()
    nothing = {"v1": False, "v1a": False}
    assert verified(packages, keys, headers_by(keys), BODY.replace("confirmed", "cancelled")) == nothing
    assert verified(packages, keys, headers_by(new_keys())) == nothing
