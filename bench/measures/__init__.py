"""The measures, one file for each kind of use. Each takes a laboratory and returns its figures."""
