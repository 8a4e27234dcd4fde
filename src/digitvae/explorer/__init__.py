"""The explorer: a page in which one plays with a trained model, its files, and a server for them."""
