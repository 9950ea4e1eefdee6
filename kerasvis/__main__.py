"""The command line: the installed `kerasvis`, `python -m kerasvis`, and the files in scripts/.

What is imported here is little, so that an interruption while the rest is imported is told in one
line, too.
"""

import sys


def main(*command: str) -> None:
    """Runs the command line that Python was started with, behind the name of a command if given."""
    try:
        from kerasvis.commands.command_line import run

        run([*command, *sys.argv[1:]])
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
