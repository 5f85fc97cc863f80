"""What Chalice does not own: the template of table, secret and roles, and the build of the Lambda bundle."""
