"""Merchant access tokens: one per app, shared by all instances through DynamoDB."""
