"""What comes in: the topics of a camera, subscribed as they are offered, and the images, depth and stamps in them."""
