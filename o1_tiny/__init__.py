"""The small world of the embedded model: what is in it, how a picture of it is judged, how the model is trained."""
