"""A weigher and a filter for nova-scheduler that ask placement. They run in Nova's process.

Beside Nova they need the generated gRPC stubs and nothing else of Moselle; nothing of the service imports them.
Whatever goes wrong here, every weight is 0.0 and every host passes: Nova then decides as it would without.
"""
