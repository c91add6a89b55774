"""Fuzzing: every reader of files is given damaged, lying and hostile ones; see campaign.py."""
