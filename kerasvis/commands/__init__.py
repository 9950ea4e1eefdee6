"""The commands: one file each, with one function whose signature is the parser.

`command_line` lists them and runs them. A command standardises its options, calls the package, and
writes figures, arrays and tables; it computes nothing itself. Keras and NumPy are imported only
when needed, so that `kerasvis --help` answers at once.
"""
