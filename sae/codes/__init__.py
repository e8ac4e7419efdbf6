"""Which latents are active in which vectors of a batch, and the products that training needs of that."""
