"""What the board was like around a block, and what that means for the block."""
