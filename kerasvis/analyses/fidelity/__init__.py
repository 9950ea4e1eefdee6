"""How far projections can be trusted: the objections of the literature, measured."""
