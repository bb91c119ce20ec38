"""A second broker that speaks nothing like the first: lists instead of records, whole paise instead of rupees, letters for states.

`language` is its `engine.broker.base.Broker`; `gateway` puts it before the sim's exchange, as a venue would be.
"""
