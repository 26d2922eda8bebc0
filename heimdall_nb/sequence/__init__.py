"""Sequences of prompts in which each sees the answers before it, in one long window of llama.cpp."""
