"""`redeemctl acceptance`: what the platform really does, compared with its documents and our assumptions."""
