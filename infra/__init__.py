"""Deployment: the CloudFormation template, the Lambda bundle, and the commands that deploy, roll back and destroy."""
