"""`python -m kerasvis`: the same as the installed `kerasvis`."""

from kerasvis.commands.command_line import main

if __name__ == "__main__":
    main()
