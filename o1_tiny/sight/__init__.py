"""What a program sees in a picture of o1-tiny's small world: colours, things, signs, backgrounds. No learned model."""
