"""The operators: one file each, with fakes, derivatives and cost; select.py decides what runs them."""
