"""A demonstration that needs no network: real text, real labels, a real teacher."""
