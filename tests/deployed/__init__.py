"""The bundle under Lambda's runtime client, the deployed stack, and the page in a browser."""
