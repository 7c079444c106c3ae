"""How each stage of the pipeline is made of calls of steps."""
