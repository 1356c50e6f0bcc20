"""Encoder, generator, discriminator, their losses and checkpoints."""
