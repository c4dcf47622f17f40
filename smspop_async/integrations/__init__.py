"""Where the SDK meets frameworks: each module is a leaf that nothing of the library imports."""
