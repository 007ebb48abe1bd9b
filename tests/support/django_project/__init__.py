"""A Django project as the tests need one."""
