"""How o1-tiny is made: scenes by lot, drawn on the GPU, one training loop, one checkpoint. No part of the product."""
