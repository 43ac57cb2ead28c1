"""Texts: read from files, cleaned, labelled, split, tokenized once, and put into batches."""
