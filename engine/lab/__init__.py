"""Lab: what is learned and measured away from the market. Heavy libraries are imported here, never by the engine."""
