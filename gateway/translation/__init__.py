"""From one dialect to another: for a model that the client's own dialect does not reach.

A request is read into the neutral vocabulary of `providers.vocabulary`, which the provider's own
client speaks, and the answer is written in the client's dialect, whole or as a stream. What has
no word there is refused with the field's name, never dropped; only what does not change an
answer is left out (labels of a request, and hints for caches).
"""
