"""Inside hybrid chains: what each latent input was made of, and what it changed."""
