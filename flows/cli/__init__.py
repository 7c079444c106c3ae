"""The command line: `penstock`, or `python -m flows.cli`. One file a group of commands."""

from flows.cli.app import main as main
