"""How fast the service is, next to a plausible afternoon's version and to a bare handler: `make bench`."""
