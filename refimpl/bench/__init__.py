"""How fast the twins are beside the libraries."""
