"""Access tokens, one per app. All instances share them through DynamoDB."""
