"""Products with structured matrices: circulant, Toeplitz, Kronecker, low displacement rank."""
