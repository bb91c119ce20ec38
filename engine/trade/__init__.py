"""Trade: the broker's REST language, the client that speaks it and what happens to a lost answer."""
