"""`redeemctl doctor`: check a stage end to end.

`checks` reads AWS, the endpoint and the platform, and calls the `judge_*` functions of `resources` and `platform`.
These are pure, and return `findings`. `command` prints them.
"""
