"""Numeric series that enter a frozen model as soft inputs."""
