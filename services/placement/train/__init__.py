"""The world in which placement is judged, and what plays in it. Nothing of it serves."""
