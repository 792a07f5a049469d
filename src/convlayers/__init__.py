"""The convolution layer, complete and fast, for PyTorch."""
