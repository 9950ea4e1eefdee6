"""The commands: one file each, with one function whose signature is the parser.

`command_line` lists them and runs them. A command makes its options standard, calls the package,
and writes figures, arrays and tables; it computes nothing itself. Nothing here imports Keras or
NumPy before it is needed, so that `kerasvis --help` answers at once.
"""
