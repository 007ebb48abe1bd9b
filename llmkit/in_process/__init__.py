"""A model behind a function of the app's: in this process, or behind a library that makes its own calls."""
