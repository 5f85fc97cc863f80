"""The tests; those named `contract` drive the front door."""
