"""What Kubernetes says and asks, as values of ours."""
