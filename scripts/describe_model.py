"""`kerasvis info`, to be run from a clone."""

from kerasvis.commands import command_line

command_line.main("info")
