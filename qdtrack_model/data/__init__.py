"""What is read and written: data sets, image sources, bags, and the samples that training learns from."""
