"""`redeemctl doctor`: check a stage end to end.

`checks` reads AWS, the endpoint and the platform, and calls the `judge_*` functions of `resources` and `platform`, which are
pure. They return `findings`. `command` prints them.
"""
