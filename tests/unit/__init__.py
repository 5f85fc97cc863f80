"""Pure functions: no bundle, no AWS, no sockets."""
