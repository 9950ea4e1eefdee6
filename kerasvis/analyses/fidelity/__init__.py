"""How far the pictures can be trusted: what experts hold against them, measured."""
