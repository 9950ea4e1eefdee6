"""`kerasvis explain`, to be run from a clone."""

from kerasvis.commands import command_line

command_line.main("explain")
