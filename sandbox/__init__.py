"""Local test environment: a mock of Douyin's platform, an emulated AWS, and sample data."""
