"""How the service is called: the only room that knows gRPC and the stubs."""
