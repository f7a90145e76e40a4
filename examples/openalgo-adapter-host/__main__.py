"""Runs the adapter host: `python examples/openalgo-adapter-host --help`."""

from adapter_host.main import main

if __name__ == "__main__":
    main()
