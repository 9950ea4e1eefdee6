"""`kerasvis demo`, to be run from a clone."""

from kerasvis.__main__ import main

main("demo")
