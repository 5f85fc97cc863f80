"""The certificate list of one user in one store: pagination, cursors, and views."""
