"""What the service is tried on: a stand-in for Douyin's platform, an emulated AWS, and sample data."""
