"""The pages `docs/howto/use-with-….md`, run as their readers would: each snippet in a process and
a virtual environment of its own, against the gateway and the simulator. `make clients` runs them.
"""
