"""How fast is the gateway? Measured beside a bare relay and the provider itself.

`bench_gateway` puts a stand up (`stand`), sends load (`load`) and tells what it found (`figures`).
"""
