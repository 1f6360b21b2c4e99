"""What this board is and what its sensors say, all read through one root."""
