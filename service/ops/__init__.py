"""How the service is watched: logs. Knows nothing of contacts, gRPC or MongoDB."""
