"""``python -m dashboards.promtool``: Prometheus's own check and test of every rule, where promtool is present."""

from __future__ import annotations

import shutil
import subprocess
import sys

from dashboards.rule_files import FILES, TESTS


def main() -> int:
    """Its exit status; one line where there is no promtool, all it says where it finds something."""
    promtool = shutil.which("promtool")
    if promtool is None:
        sys.stdout.write("No promtool here: rules were parsed and compared by the tests only.\n")
        return 0
    for command in (["check", "rules", *map(str, FILES)], ["test", "rules", *map(str, TESTS)]):
        done = subprocess.run([promtool, *command], capture_output=True, text=True)
        if done.returncode != 0:
            sys.stdout.write(done.stdout + done.stderr)
            return done.returncode
    sys.stdout.write(f"Rules: {len(FILES)} files checked, {len(TESTS)} tested\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
