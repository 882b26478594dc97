"""A pytest plugin for tests that run code in virtual machines; see `vmm.testing.plugin`."""
