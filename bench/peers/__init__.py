"""Other backtesters on the same rows: `python -m bench.peers.compare --data FOLDER`."""
