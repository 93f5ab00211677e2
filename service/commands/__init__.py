"""The commands of `contactservice`, one noun each: they speak to a terminal, and see all rooms."""
