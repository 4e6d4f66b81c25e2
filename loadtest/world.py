"""`python -m loadtest world`: the clinics of a stack as files, for where each of its parts starts by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from devstack.world import Shape, build

ONBOARDING, CLINICS, RECEIVER = "onboarding.json", "clinics.json", "webhook-secrets.json"


def world(
    folder: Annotated[Path, typer.Argument(help=f"Where {ONBOARDING}, {CLINICS} and {RECEIVER} go.")],
    clinics_url: Annotated[str, typer.Option(help="Where the simulated clinics will be.")],
    receiver_url: Annotated[str, typer.Option(help="Where the webhook receiver will be.")],
    clinics: Annotated[int, typer.Option(min=1, max=2_000, help="How many clinics.")] = 20,
    seed: Annotated[int, typer.Option(help="The same seed makes the same clinics.")] = 1,
) -> None:
    """Make a world: what `directory import` reads, how its clinics behave, what its webhooks are signed with.

    Files that are there are left alone: the secrets in them are those that were imported.
    """
    shape = Shape(clinics=clinics, partitions=Shape.partitions_for(clinics), slow=0, down=0, seed=seed)
    made = build(shape, clinics_url, receiver_url)
    contents = {ONBOARDING: made.onboarding, CLINICS: made.behaviours, RECEIVER: made.webhook_secrets}
    if all((folder / name).exists() for name in contents):
        typer.echo("the world is there already")
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    typer.echo(f"a world of {clinics} clinics on {shape.partitions} partitions")
