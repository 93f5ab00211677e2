"""The Python package of ContactService, the system of record for the people a product talks to."""
