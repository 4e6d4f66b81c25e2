"""`python -m loadtest COMMAND`: each command lives in its own module and is registered here.

Only the module of the command that is asked for is imported: a simulated clinic that was killed should be back in a
fraction of a second, not after everything a bench needs has been loaded.
"""

import sys
from importlib import import_module

import typer

COMMANDS = {
    "bench": "loadtest.bench.command:bench",
    "clinics": "loadtest.clinics.command:clinics",
    "eligibility": "loadtest.eligibility.command:eligibility",
    "gateways": "loadtest.gateways.command:gateways",
    "kill-loop": "loadtest.chaos:kill_loop",
    "observe": "loadtest.observe.command:observe",
    "receiver": "loadtest.receiver:receiver",
    "send": "loadtest.plan:send_plan",
    "simulate": "loadtest.simulate.command:simulate",
    "world": "loadtest.world:world",
}


def app_for(arguments: list[str]) -> typer.Typer:
    """The application as far as these arguments need it: the command they begin with, or all to choose from."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(lambda: None)  # a single command would otherwise go without its name
    wanted = [name for name in COMMANDS if arguments[:1] == [name]]
    for name in wanted or COMMANDS:
        module, _, function = COMMANDS[name].partition(":")
        app.command(name)(getattr(import_module(module), function))
    return app


if __name__ == "__main__":
    app_for(sys.argv[1:])()
