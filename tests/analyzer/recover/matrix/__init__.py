"""A matrix of damage: real file systems in every type of file, each structure lost, alone and in pairs."""
