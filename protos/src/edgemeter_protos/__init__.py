"""The contract between the parts of edgemeter, and the little code that both of its sides share."""

PROTOCOL_VERSION = 1
"""Rises when an agent and a coordinator of different versions can no longer talk."""

COORDINATOR_TLS_NAME = "coordinator.edgemeter.internal"
"""The name in the coordinator's certificate, whatever address agents and users dial: the CA that
signs it is pinned and signs no other server, so the name need not follow the network."""
