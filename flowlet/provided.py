"""The resources that an application provides to its handlers, by their type."""
# registry helper writes this
