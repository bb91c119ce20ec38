"""A folder a broker: everything that knows the words, addresses and limits of one."""
