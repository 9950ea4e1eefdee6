"""`kerasvis evolution`, to be run from a clone."""

from kerasvis.__main__ import main

main("evolution")
