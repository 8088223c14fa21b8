"""Systems that SynergyNet is compared with, beside those that are parts of it."""
