"""`redeemctl`, the operator's command line: apps, merchants, stores, tokens, session keys, and diagnosis of a stage."""
