"""What a user of Claude tools touches: connect, doctor, status line, first settings."""
