"""Version 1 of the interface: the generated messages and stubs, by the names of the protos."""
