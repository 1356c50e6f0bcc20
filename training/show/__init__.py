"""What a training shows to a person; nothing here decides a weight."""
