"""`redeemctl`: an operator's hand on a stage: apps, merchants, stores, tokens, session keys, a doctor."""
