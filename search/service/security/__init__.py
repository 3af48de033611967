"""Security of the service: tokens and roles, limits, other sites, confinement of paths."""
