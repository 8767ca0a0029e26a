"""Float networks of the family: layers, the whole network in batch and in realtime form."""
