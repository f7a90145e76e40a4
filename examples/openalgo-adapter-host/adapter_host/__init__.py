"""An adapter host for tickgate that runs inside an OpenAlgo installation.

`main` reads the command line, `installation` makes OpenAlgo importable, `protocol` is the control
protocol, `host` the socket and the books, `session` one user's broker session and its thread,
`adapter` what OpenAlgo's adapters say and how they fail, `words` what may be told of it.
"""
