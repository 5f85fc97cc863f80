"""Deployment: the CloudFormation template, the build of the Lambda bundle, and the commands that deploy and destroy."""
