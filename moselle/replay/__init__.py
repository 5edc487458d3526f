"""`moselle replay`: recorded logs and metrics go to the raw topics as shippers would send them."""
