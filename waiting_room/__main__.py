"""``python -m waiting_room``: what is done once or by hand; the programs that run all the time are elsewhere."""

from waiting_room.cli.app import app

if __name__ == "__main__":
    app()
