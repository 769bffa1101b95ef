"""The records of the families of whole models, a file each: what stands here is found."""
