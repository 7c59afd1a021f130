"""How good a model is: figures with their n and intervals, pictures, pages and cards filled from them."""
