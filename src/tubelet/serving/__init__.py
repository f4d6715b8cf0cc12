"""An HTTP service: models that answer to programs and to a page in a browser."""
