"""The small world that o1-tiny was trained on: colours, shapes, signs, scenes and how people ask for them. No torch."""
