"""Training: data, the loop (Lightning's), the run folder, pictures of what was learned."""
