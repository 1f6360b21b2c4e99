"""The gRPC services, thin over store, schedule and conversion, and the process that runs them."""
