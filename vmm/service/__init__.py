"""The guest's kernel as a library: `Machine.guest`, whose methods are Linux's system calls."""
